"""The whole path on vectors: a recipe in, students and a table out; resumed, repeated, in parallel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cod_runner import running
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 20, lr: 0.01}
expect:
  - {metric: agreement, method: kd, arm: cod, k: 8, at_least: 0.3}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def run(recipe: Path, out: Path, jobs: int = 1, overrides: tuple[str, ...] = (), **flags: Any) -> running.RunResult:
    registry = Registry.discover()
    loaded = load_recipe(recipe, registry, overrides=overrides, flags=flags)
    return running.run(loaded, registry, RunSettings(out=out, jobs=jobs), Progress(quiet=True))


def rows(out: Path) -> list[dict[str, Any]]:
    """Lines of cells.jsonl without what may differ between two runs, by cell."""
    lines = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    kept = [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]
    return sorted(kept, key=lambda line: (line["arm"], line["seed"]))


@pytest.mark.usefixtures("rendered_figures")
def test_leaves_what_it_promises(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(recipe, out)
    result.raise_if_missed()
    names = {"recipe.yaml", "run.json", "run.log", "cells.jsonl", "counterfactuals.jsonl", "table.md", "table.csv"}
    assert names | {"report.html", "figures", "students"} <= {path.name for path in out.iterdir()}
    assert {path.name for path in (out / "students").iterdir()} == {
        f"kd-{arm}-k8-s{seed}" for arm in ("plain", "cod") for seed in (0, 1)
    }
    for row in rows(out):
        assert row["training_rows"] == 8
        assert row["steps"] == 20
    pairs = [json.loads(line) for line in (out / "counterfactuals.jsonl").read_text().splitlines()]
    assert len([pair for pair in pairs if pair["verified"]]) >= 8 - 4
    assert all(pair["label"] != pair["from_label"] for pair in pairs if pair["verified"])
    assert str(tmp_path) not in (out / "cells.jsonl").read_text()


def test_nothing_done_is_done_again(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(recipe, out, seeds=[0])
    first = (out / "cells.jsonl").read_text()
    run(recipe, out, seeds=[0])
    assert (out / "cells.jsonl").read_text() == first
    run(recipe, out)
    assert (out / "cells.jsonl").read_text().startswith(first)
    assert len(rows(out)) == 4


def test_a_call_with_nothing_to_do_keeps_the_count_of_shared_queries(recipe: Path, tmp_path: Path) -> None:
    shared = run(recipe, tmp_path / "run", seeds=[0]).record.shared_queries
    table = (tmp_path / "run" / "table.md").read_bytes()
    assert shared > 0
    assert run(recipe, tmp_path / "run", seeds=[0]).record.shared_queries == shared
    assert (tmp_path / "run" / "table.md").read_bytes() == table


def test_bit_for_bit_whatever_the_order_jobs_or_store(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe, tmp_path / "once", seeds=[1])
    run(recipe, tmp_path / "once")
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "another store"))
    run(recipe, tmp_path / "at once", jobs=2)
    assert rows(tmp_path / "once") == rows(tmp_path / "at once")
    for student in (tmp_path / "once" / "students").iterdir():
        other = tmp_path / "at once" / "students" / student.name
        for file in student.iterdir():
            assert file.read_bytes() == (other / file.name).read_bytes(), file


def test_a_resumed_run_keeps_the_counterfactuals_of_what_was_done(recipe: Path, tmp_path: Path) -> None:
    """A run whose first cells were done by an earlier call leaves the same file as one that did all at once."""
    run(recipe, tmp_path / "at once")
    run(recipe, tmp_path / "in two", seeds=[0])
    run(recipe, tmp_path / "in two")
    whole, resumed = ((tmp_path / name / "counterfactuals.jsonl").read_text() for name in ("at once", "in two"))
    assert resumed == whole


def test_cfes_leaves_them_in_the_run_folder(recipe: Path, tmp_path: Path) -> None:
    registry = Registry.discover()
    settings = RunSettings(out=tmp_path / "cfes", jobs=1)
    (found,) = running.find_counterfactuals(load_recipe(recipe, registry), registry, settings, Progress(quiet=True))
    lines = (tmp_path / "cfes" / "counterfactuals.jsonl").read_text().splitlines()
    assert [json.loads(line)["source_id"] for line in lines] == list(found.counterfactuals)
    run(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "counterfactuals.jsonl").read_text().splitlines() == lines


def test_an_arm_alone_is_what_it_is_beside_the_other(recipe: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "both")
    run(recipe, tmp_path / "alone", arms=["plain"], overrides=("expect=[]",))
    assert [row for row in rows(tmp_path / "both") if row["arm"] == "plain"] == rows(tmp_path / "alone")


def test_a_teacher_never_trains_on_the_rows_that_choose_the_epoch(recipe: Path, tmp_path: Path) -> None:
    """Whatever the store holds: a teacher fine-tuned on the whole pool is another one."""
    all_rows = ("teacher.finetune.rows=100000",)
    run(recipe, tmp_path / "last", overrides=all_rows, arms=["plain"], seeds=[0])
    shared = (*all_rows, "evaluate.select=best_dev", "expect=[]")
    chosen = run(recipe, tmp_path / "dev", overrides=shared, arms=["plain"], seeds=[0])
    whole = json.loads((tmp_path / "last" / "run.json").read_text())["teacher"]["fingerprint"]
    assert chosen.record.teacher["fingerprint"] != whole
    assert rows(tmp_path / "dev")[0]["select"] == "best_dev"
