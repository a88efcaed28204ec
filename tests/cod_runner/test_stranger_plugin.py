"""The first proof of the registry: a separate package, built and installed beside codrun, used by a recipe."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import BuildContext
from cod_runner.registry import Registry

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
