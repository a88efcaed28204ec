"""Runs with components of this test's own: originals that nothing flips, and a tracker that sees every hook."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from cod_runner import running
from cod_runner.api import Classifier, Component, Example, Options, Proposal, Request, TeacherView, hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages.cell import SharedByCells
from cod_runner.stages.workers import CellProcess, CellWork

RECIPE = """
recipe: 1
name: stubborn
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [half_hearted], max_edits: 1000, on_failure: redraw}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 5, lr: 0.01}
trackers: [witness]
"""


def cannot_be_flipped(x: float) -> bool:
    """Some of the originals, whatever the seed."""
    return round(abs(x) * 1000) % 3 == 0


class HalfHearted:
    """Looks all around an original for a flip; for those that cannot be flipped it takes one tiny step."""

    rounds = 1

    def __init__(self, options: Options, context: Any) -> None:
        pass

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        return [self._around(*request.input) for request in requests]

    def _around(self, x: float, y: float) -> list[Proposal]:
        if cannot_be_flipped(x):
            return [Proposal((x + 1e-4, y))]
        steps = [part / 8 for part in range(-20, 21)]
        return [Proposal((x + dx, y + dy)) for dx in steps for dy in steps if dx or dy]


class Witness:
    """Writes down which hooks reached it."""

    made: ClassVar[list[Witness]] = []

    def __init__(self, options: Options, context: Any) -> None:
        self.seen: list[str] = []
        self.made.append(self)

    @hookimpl
    def codrun_run_started(self, recipe: Mapping[str, Any], cells: int, folder: Path) -> None:
        self.seen.append(f"run of {cells}")

    @hookimpl
    def codrun_teacher_ready(self, teacher: Classifier, pool: Sequence[Example]) -> None:
        self.seen.append("teacher")

    @hookimpl
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        self.seen.append("cell")

    @hookimpl
    def codrun_step(self, cell: Mapping[str, Any], step: int, losses: Mapping[str, float]) -> None:
        self.seen.append("step")

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        self.seen.append("row")

    @hookimpl
    def codrun_run_finished(self, summary: Mapping[str, Any], folder: Path) -> None:
        self.seen.append("end")


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("generator", "half_hearted", Options, f"{__name__}:HalfHearted", "fails on purpose")
        yield Component("tracker", "witness", Options, f"{__name__}:Witness", "writes down what it saw")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(Witness, "made", [])
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    return registry


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "stubborn.yaml"
    path.write_text(RECIPE)
    return path


def run(recipe: Path, registry: Registry, on_failure: str = "redraw", **flags: Any) -> running.RunResult:
    loaded = load_recipe(recipe, registry, overrides=[f"counterfactuals.on_failure={on_failure}"], flags=flags)
    settings = RunSettings(out=recipe.parent / on_failure, jobs=1)
    return running.run(loaded, registry, settings, Progress(quiet=True))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cod_rows(result: running.RunResult) -> list[dict[str, Any]]:
    return [row for row in lines(result.folder.cells) if row["arm"] == "cod"]


def test_redraw_takes_the_next_original(recipe: Path, registry: Registry) -> None:
    result = run(recipe, registry, "redraw")
    failed = [pair for pair in lines(result.folder.counterfactuals) if not pair["verified"]]
    assert failed and all(cannot_be_flipped(pair["original"][0]) for pair in failed)
    assert all(pair["counterfactual"] is None and pair["reasons"] for pair in failed)
    assert sum(row["redrawn"] for row in cod_rows(result)) == len(failed)
    assert [row["training_rows"] for row in cod_rows(result)] == [8, 8]
    assert "‡" not in (result.folder.path / "table.md").read_text()


def test_drop_leaves_the_gap(recipe: Path, registry: Registry) -> None:
    result = run(recipe, registry, "drop")
    pairs = lines(result.folder.counterfactuals)
    failed = [pair for pair in pairs if not pair["verified"]]
    assert len(pairs) == 8, "no original beyond the first k/2 of each seed is looked at"
    assert failed and all(pair["counterfactual"] is None for pair in failed)
    rows = cod_rows(result)
    assert sum(row["training_rows"] for row in rows) == 16 - 2 * len(failed)
    assert all(row["redrawn"] == 0 for row in rows)
    assert sum(4 * (1 - row["yield"]) for row in rows) == pytest.approx(len(failed))
    plain = [row for row in lines(result.folder.cells) if row["arm"] == "plain"]
    assert [row["training_rows"] for row in plain] == [8, 8]
    assert {row["steps"] for row in [*rows, *plain]} == {5}, "arms that are compared take equal steps"


def test_keep_unverified_trains_on_the_nearest_miss_and_says_so(recipe: Path, registry: Registry) -> None:
    result = run(recipe, registry, "keep_unverified")
    pairs = lines(result.folder.counterfactuals)
    missed = [pair for pair in pairs if not pair["verified"]]
    assert len(pairs) == 8
    assert missed and all(pair["counterfactual"] is not None for pair in missed)
    assert all(pair["label"] == pair["from_label"] for pair in missed), "the label is what the teacher says of it"
    assert [row["training_rows"] for row in cod_rows(result)] == [8, 8]
    assert not result.record.verified
    table = (result.folder.path / "table.md").read_text()
    marked = [line for line in table.splitlines() if "CoD" in line and "‡" in line]
    assert marked, table
    assert "trained on counterfactuals that the teacher did not confirm" in table


def test_fail_ends_the_run_with_a_sentence_before_any_student(recipe: Path, registry: Registry) -> None:
    with pytest.raises(CodrunError) as caught:
        run(recipe, registry, "fail")
    assert caught.value.exit_code == 1
    assert "`on_failure` is `fail`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (recipe.parent / "fail" / "cells.jsonl").exists()


def test_one_tracker_sees_every_hook_with_one_job(recipe: Path, registry: Registry) -> None:
    run(recipe, registry)
    (witness,) = Witness.made
    start, end = ["run of 4", "teacher", *["cell"] * 4], ["end"]
    assert witness.seen == [*start, *[*["step"] * 5, "row"] * 4, *end]


def test_work_that_crosses_to_another_process_leaves_the_registry_behind(registry: Registry) -> None:
    work = CellWork(cast(SharedByCells, "what cells share"), CellProcess(registry))
    copies = [pickle.loads(pickle.dumps(work)) for _ in range(2)]  # noqa: S301 - our own
    assert copies[0].process is copies[1].process, "plugins are discovered once for all cells of a process"
    assert copies[0].process is not work.process
    assert copies[0].shared == "what cells share"
    assert len(pickle.dumps(work)) < 200
