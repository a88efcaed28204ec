"""A student that trains itself in a run: what it is given, what is recorded of it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cod_runner import running
from cod_runner.api import BuildContext, Component, Example, OwnTraining, hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError, PluginError
from cod_runner.permissions import Permissions
from cod_runner.plan import plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from codrun_moons.classifier import MLP
from codrun_moons.plugin import MLPOptions

RECIPE = """
recipe: 1
name: alone
dataset: {use: moons, n: 300}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [8], finetune: {rows: 100, steps: 40, lr: 0.02, batch_size: 16}}
student: {use: STUDENT, hidden: [4]}
counterfactuals: {generators: [gradient], max_edits: 1000}
methods: {own: [hard]}
train: {steps: 3}
evaluate: {metrics: [accuracy]}
"""
TAUGHT: list[tuple[tuple[Example, ...], int, int]] = []
"""Rows, seed and threads of every training."""


class AutodidactOptions(MLPOptions):
    def trains_itself(self) -> bool:
        return True


class Autodidact(MLP):
    """Sets its last bias to the mean of its rows' first coordinates, plus noise of its seed."""

    def fit(
        self, examples: Sequence[Example], seed: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> OwnTraining:
        TAUGHT.append((tuple(examples), seed, torch.get_num_threads()))
        noise = torch.randn(2, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.head.bias.copy_(noise + sum(float(each.input[0]) for each in examples) / len(examples))  # type: ignore[arg-type]
        return OwnTraining(steps=17, losses={"noise": float(noise[0])})


class Diverging(Autodidact):
    def fit(self, examples: Sequence[Example], seed: int, progress: Any = None) -> OwnTraining:
        torch.nn.init.constant_(self.head.bias, float("nan"))
        return OwnTraining(steps=4)


def autodidact(options: MLPOptions, context: BuildContext) -> MLP:
    return Autodidact(options, context.labels, context.seed)


def diverging(options: MLPOptions, context: BuildContext) -> MLP:
    return Diverging(options, context.labels, context.seed)


class Plugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("student", "autodidact", AutodidactOptions, f"{__name__}:autodidact", "trains itself")
        yield Component("student", "diverging", AutodidactOptions, f"{__name__}:diverging", "trains itself badly")
        yield Component("student", "secretive", MLPOptions, f"{__name__}:autodidact", "does not say so")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    found.register("autodidact", __name__, lambda: Plugin)
    return found


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def run(student: str = "autodidact", name: str = "run") -> list[dict[str, Any]]:
        TAUGHT.clear()
        (tmp_path / "recipe.yaml").write_text(RECIPE.replace("STUDENT", student))
        loaded = load_recipe(tmp_path / "recipe.yaml", registry)
        running.run(loaded, registry, RunSettings(tmp_path / name, jobs=1, device="cpu"), Progress(quiet=True))
        return [json.loads(line) for line in (tmp_path / name / "cells.jsonl").read_text().splitlines()]

    return run


def test_it_is_given_the_labelled_rows_and_its_steps_are_recorded(run: Callable[..., list[dict[str, Any]]]) -> None:
    rows = run()
    assert [(row["arm"], row["seed"]) for row in rows] == [("plain", 0), ("cod", 0), ("plain", 1), ("cod", 1)]
    for row, (examples, _, threads) in zip(rows, TAUGHT, strict=True):
        assert (row["steps"], row["precision"], row["training_rows"]) == (17, "fp32", 8)
        assert len(examples) == 8 and threads == 1
        assert all(example.label is not None for example in examples)
        assert any(example.is_counterfactual for example in examples) is (row["arm"] == "cod")
        assert list(row["losses"]) == ["noise"] and row["train_seconds"] >= 0
    assert TAUGHT[0][1] == TAUGHT[1][1] != TAUGHT[2][1], "a cell's own seed, the same in all arms"


def test_the_same_cells_come_again(run: Callable[..., list[dict[str, Any]]]) -> None:
    first, second = (
        [{key: value for key, value in row.items() if "seconds" not in key} for row in run(name=name)]
        for name in ("first", "second")
    )
    assert first == second


def test_broken_weights_and_a_student_that_does_not_say_so_are_refused(run: Callable[..., Any]) -> None:
    with pytest.raises(CodrunError, match=r"infinite or NaN in the student's own 4 steps; try a smaller `lr`"):
        run("diverging")
    with pytest.raises(PluginError, match="the student `secretive` and its options disagree on whether it trains its"):
        run("secretive", "other")


def test_few_steps_of_the_recipe_are_no_concern_of_its(registry: Registry, tmp_path: Path) -> None:
    warned = {}
    for student in ("autodidact", "mlp"):
        (tmp_path / "recipe.yaml").write_text(RECIPE.replace("STUDENT", student))
        loaded = load_recipe(tmp_path / "recipe.yaml", registry)
        warned[student] = plan_of(loaded, registry, tmp_path / "run", Permissions()).warnings
    assert warned["autodidact"] == []
    assert warned["mlp"] == [
        "k=8 trains 3 steps; a fresh head stays near chance below about 50 steps: raise `train.steps`"
    ]
