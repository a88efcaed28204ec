"""The first proof of the registry: a separate package, built and installed beside codrun, used by a recipe."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cod_runner import running
from cod_runner.api import BuildContext
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results

PACKAGE = Path(__file__).parents[1] / "stranger"
RECIPE = """
recipe: 1
name: strange
dataset: {use: moons}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [{use: mirror, reach: 2.5}], max_edits: 1000}
methods: {strange: [hard, {use: margin, weight: 0.5, scale: 2}]}
train: {steps: 10, lr: 0.01}
arms:
  plain: {}
  cod: {add: flips}
  shortest: {select: shortest, add: flips}
  near: {add: {use: mirror, reach: 3}}
  far: {add: {use: mirror, reach: 3}, choose: {use: farthest_on, axis: 1}}
"""


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine where the stranger's package is installed."""
    tmp_path = tmp_path_factory.mktemp("stranger")
    source = shutil.copytree(PACKAGE, tmp_path / "source")
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(target), "CODRUN_HOME": str(tmp_path / "store")}


def codrun(arguments: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from cod_runner.cli import call; sys.exit(call(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_a_strangers_loss_generator_selector_and_chooser_run(beside: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "strange.yaml").write_text(RECIPE)
    listed = codrun(["plugins", "stranger", "--json"], beside, tmp_path)
    assert json.loads(listed.stdout)[0]["distribution"] == "stranger-distillation"
    done = codrun(["strange.yaml", "--quiet", "--jobs", "1"], beside, tmp_path)
    assert done.returncode == 0, done.stderr
    pairs = lines(tmp_path / "runs/strange/counterfactuals.jsonl")
    assert {pair["generator"] for pair in pairs if pair["verified"]} == {"mirror"}
    rows = {row["arm"]: row for row in lines(tmp_path / "runs/strange/cells.jsonl")}
    assert {arm: (row["method"], row["labelled"], row["added"], row["redrawn"]) for arm, row in rows.items()} == {
        "plain": ("strange", 8, 0, 0),
        "cod": ("strange", 4, 4, 0),
        "shortest": ("strange", 4, 4, 0),
        "near": ("strange", 4, 4, 0),
        "far": ("strange", 4, 4, 0),
    }
    assert all("margin" in row["losses"] for row in rows.values())
    assert {pair["source_id"] for pair in pairs} >= two_shortest_of_each_class()
    assert rows["near"]["teacher_queries"] == rows["far"]["teacher_queries"], "the same originals and their candidates"
    assert rows["near"]["losses"] != rows["far"]["losses"], "but another choice among them"


ANSWERS = """
recipe: 1
name: answers
dataset: {use: csv, path: films.csv, labels: [bad, good]}
k: [8]
seeds: [0, 1]
teacher:
  use: lists
  words: {good: [good, happy], bad: [bad, sad]}
  shots: 4
  calibration: {texts: 20, gold: 8}
student: letters
methods: {kd: [hard, {use: kd, weight: 2}]}
arms: [plain]
train: {steps: 3, lr: 0.01, precision: fp32}
"""


def test_a_strangers_teacher_that_only_answers_is_asked_once_however_many_students_train_at_once(
    beside: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nouns = "film story cast script ending music scene actor camera plot house river summer train letter doctor".split()
    drawn = [" ".join(random.Random(n).sample(nouns, 7)) for n in range(80)]
    opinions = ["good", "bad", "happy", "sad"]
    films = [f"a {opinions[n % 4]} {nouns},{('good', 'bad')[n % 2]}" for n, nouns in enumerate(drawn)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *films]))
    (tmp_path / "answers.yaml").write_text(ANSWERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.syspath_prepend(beside["PYTHONPATH"])  # in this process and its workers: a command line takes long
    registry = Registry.discover()
    for jobs in (1, 2):
        loaded = load_recipe(Path("answers.yaml"), registry)
        with patch.object(results, "write_reports"):
            running.run(loaded, registry, RunSettings(out=Path(f"by_{jobs}"), jobs=jobs), Progress(quiet=True))
    asked = Path("asked.txt").read_text().splitlines()
    assert len(asked) == len(set(asked)) >= 20 + 8 + 16
    alone, together = (
        sorted(
            ({key: value for key, value in row.items() if "seconds" not in key} for row in lines(tmp_path / out)),
            key=lambda row: row["key"],
        )
        for out in ("by_1/cells.jsonl", "by_2/cells.jsonl")
    )
    assert alone == together and len(alone) == 2
    told = json.loads(Path("by_2/run.json").read_text())["teacher"]
    assert told["gold_labels"] == 4 + 8 and told["accuracy"] == 1.0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def two_shortest_of_each_class() -> set[str]:
    pool = Registry.discover().build("dataset", "moons", {}, BuildContext()).load().splits["train"]
    by_length = sorted(pool, key=lambda row: math.hypot(*row.input))
    return {row.id for label in (0, 1) for row in [each for each in by_length if each.label == label][:2]}


def test_its_options_are_checked_like_ours(beside: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "strange.yaml").write_text(RECIPE.replace("scale: 2", "scael: 2"))
    done = codrun(["validate", "strange.yaml"], beside, tmp_path)
    assert done.returncode == 2
    assert "strange.yaml:10:" in done.stderr
    assert "scale" in done.stderr


def test_without_it_the_recipe_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "strange.yaml").write_text(RECIPE)
    done = codrun(["validate", "strange.yaml"], dict(os.environ), tmp_path)
    assert done.returncode == 2
    assert "no loss is named `margin`" in done.stderr
    assert "no generator is named `mirror`" in done.stderr
    assert "no selector is named `shortest`" in done.stderr
    assert "no chooser is named `farthest_on`" in done.stderr
