"""`cod_runner.run`: from Python what the command does, and nothing on standard output."""

from __future__ import annotations

import json
import multiprocessing
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cod_runner
from cod_runner.cli import call
from cod_runner.errors import CodrunError, ExpectationMissed, RecipeError

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [8, 16]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 10, lr: 0.01}
expect:
  - {metric: agreement, method: kd, arm: cod, k: 8, at_least: 0.0}
  - {metric: agreement, method: kd, arm: plain, k: 16, at_least: 0.0}
profiles:
  strict: {expect: [{metric: agreement, method: kd, arm: cod, k: 8, at_least: 1.0}]}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(RECIPE)
    return Path("tiny.yaml")


def cells(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


def test_importing_it_is_light() -> None:
    code = (
        "import sys, cod_runner; print([n for n in ('torch', 'pydantic', 'rich', 'yaml', 'typer') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_does_what_the_command_does(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = cod_runner.run(str(recipe), k=8, seeds=[0], jobs=1, out="called")
    assert capsys.readouterr().out == ""
    assert call(["tiny.yaml", "--k", "8", "--seeds", "0", "--jobs", "1", "--out", "commanded", "--json"]) == 0
    assert result.folder.path == Path("called")
    assert repr(result) == "<RunResult of called: 2 finished cells, 1 of 2 expectations met>"
    assert cells(Path("called")) == cells(Path("commanded"))
    assert [(row.method, row.arm, row.k, row.seed) for row in result.rows] == [
        ("kd", "cod", 8, 0), ("kd", "plain", 8, 0),
    ]  # fmt: skip
    judged, omitted = result.expectations
    assert (judged.verdict, judged.seeds, omitted.verdict) == ("pass", (0,), "not run")
    assert judged.measured == next(row.metrics["agreement"] for row in result.rows if row.arm == "cod")
    result.raise_if_incomplete()
    result.raise_if_missed()
    assert result.exit_code == 0


def test_the_record_has_the_command_that_repeats_the_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("elsewhere").mkdir()
    result = cod_runner.run(
        recipe, overrides="describe=two moons", k=8, seeds=[0], arms="plain", jobs=1, device="cpu", out="a folder",
        allow_folders=["elsewhere"], offline=True,
    )  # fmt: skip
    command = (
        "codrun tiny.yaml --set 'describe=two moons' --k 8 --seeds 0 --arms plain --out 'a folder' --jobs 1 "
        "--device cpu --allow-folder elsewhere --offline"
    )
    assert result.record.command == command
    before = (Path("a folder") / "cells.jsonl").read_text()
    assert call([*shlex.split(command)[1:], "--strict", "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown["command"] == command + " --strict"
    assert shown["exit_code"] == 3
    assert (Path("a folder") / "cells.jsonl").read_text() == before


@pytest.mark.parametrize("name", ["-odd.yaml", "run"])
def test_the_command_takes_a_recipe_for_a_recipe(recipe: Path, name: str) -> None:
    Path(name).write_text(RECIPE)
    result = cod_runner.run(name, k=8, seeds=0, arms="plain", jobs=1, out="run-of-it")
    assert result.record.command == f"codrun ./{name} --k 8 --seeds 0 --arms plain --out run-of-it --jobs 1"


def test_a_miss_is_raised_when_asked_for(recipe: Path) -> None:
    result = cod_runner.run(recipe, profile="strict", k=8, seeds=0, jobs=1)
    assert result.folder.path == Path("runs/tiny-strict")
    assert result.exit_code == 3
    with pytest.raises(
        ExpectationMissed, match=r"agreement, kd, cod, k = 8: at least 1 expected, 0\.\d{4} over 1 seed"
    ):
        result.raise_if_missed()


def test_a_strict_run_misses_what_did_not_run(recipe: Path) -> None:
    result = cod_runner.run(recipe, k=8, seeds=0, jobs=1, out="run", strict=True)
    with pytest.raises(ExpectationMissed) as missed:
        result.raise_if_missed()
    assert str(missed.value) == "agreement, kd, plain, k = 16: at least 0 expected, not run"
    cod_runner.run(recipe, k=8, seeds=0, jobs=1, out="run").raise_if_missed()


def test_what_is_wrong_is_an_error_with_every_fault(recipe: Path) -> None:
    with pytest.raises(RecipeError) as wrong:
        cod_runner.run(recipe, k=["x"], arms="codd")  # type: ignore[list-item]
    assert str(wrong.value).splitlines() == [
        "--arms: no arm is named `codd`; did you mean `cod`?",
        "--k: `k.0` must be a whole number, not `x`",
    ]
    with pytest.raises(CodrunError, match=r"nowhere\.yaml"):
        cod_runner.run("nowhere.yaml")


def test_a_worker_that_imports_the_calling_script_does_not_run_it(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(CodrunError, match='put the call below `if __name__ == "__main__":`, or give `jobs=1`'):
        cod_runner.run(recipe)
    assert not Path("runs").exists()
