"""Cells that workers finish when the process that handed them out is gone: the next call takes them in."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cod_runner import running
from cod_runner.api import Component, Options, hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.plan import Plan, plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import cell

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 200, validation: 50}
k: [8]
seeds: [0, 1, 2]
teacher: {use: mlp, hidden: [8], finetune: {rows: 64, steps: 20, lr: 0.05, batch_size: 32, precision: fp32}}
student: {use: mlp, hidden: [8]}
methods: {kd: [hard, {use: kd, weight: 2}]}
arms: [plain]
train: {steps: 3, lr: 0.01, precision: fp32}
"""


class HeadDies(BaseException):
    """No error of ours: the process is gone."""


class Cluster:
    """Works as another process would, with a copy of the work; the head dies when it has heard of ``hears`` cells,
    and the workers go on."""

    hears: ClassVar[int] = 99
    began: ClassVar[list[int]] = []
    ended: ClassVar[list[int]] = []

    def __init__(self, options: Options, context: Any) -> None:
        pass

    def end_earlier_calls(self) -> None:
        self.ended.append(len(self.began))

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        work = pickle.loads(pickle.dumps(work))  # noqa: S301 - our own
        self.began.extend(task.cell.seed for task in tasks)
        done = [work(task) for task in tasks]
        yield from done[: self.hears]
        if len(done) > self.hears:
            raise HeadDies


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    @hookimpl
    def codrun_cell_finished(self, row: Any) -> None:
        self.told.append(("finished", row["seed"]))

    @hookimpl
    def codrun_run_finished(self) -> None:
        self.told.append(("run finished", 0))


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("executor", "cluster", Options, f"{__name__}:Cluster", "workers that outlive the head")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def run(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watcher]:
    monkeypatch.setenv("CODRUN_HOME", str(store))
    monkeypatch.setattr(Cluster, "hears", 99)
    monkeypatch.setattr(Cluster, "began", [])
    monkeypatch.setattr(Cluster, "ended", [])
    (tmp_path / "tiny.yaml").write_text(RECIPE)

    def call(out: Path, *overrides: str, executor: str = "cluster", **settings: Any) -> Watcher:
        registry, watcher = Registry.discover(), Watcher()
        registry.register("own", __name__, OwnPlugin)
        registry.attach("watcher", watcher)
        loaded = load_recipe(tmp_path / "tiny.yaml", registry, overrides=overrides, executor=executor)
        running.run(loaded, registry, RunSettings(out=out, jobs=1, **settings), Progress(quiet=True))
        return watcher

    return call


def planned(folder: Path, out: Path) -> Plan:
    registry = Registry.discover()
    return plan_of(load_recipe(folder / "tiny.yaml", registry), registry, out)


def left(out: Path) -> list[Path]:
    return sorted(out.rglob(".finished/*"))


def lines(out: Path) -> list[str]:
    rows = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    return sorted(json.dumps({name: value for name, value in row.items() if "seconds" not in name}) for row in rows)


@pytest.fixture
def headless(tmp_path: Path, run: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose head heard of one cell of three."""
    monkeypatch.setattr(Cluster, "hears", 1)
    with pytest.raises(HeadDies):
        run(tmp_path / "run")
    monkeypatch.setattr(Cluster, "hears", 99)
    monkeypatch.setattr(Cluster, "began", [])
    assert len(lines(tmp_path / "run")) == 1 and len(left(tmp_path / "run")) == 2
    return tmp_path / "run"


def test_a_new_head_takes_in_what_the_workers_finished(tmp_path: Path, headless: Path, run: Any) -> None:
    assert planned(tmp_path, headless).done == 3, "a plan counts them"
    assert len(left(headless)) == 2, "and leaves them to the run"
    Cluster.ended.clear()
    watcher = run(headless)
    assert Cluster.began == [] and Cluster.ended == [0], "nothing to run, and what the earlier head had begun is ended"
    assert watcher.told == [("finished", 1), ("finished", 2), ("run finished", 0)]
    assert not (headless / ".finished").exists()
    run(tmp_path / "whole", executor="processes")
    assert lines(headless) == lines(tmp_path / "whole")
    students = [f"students/kd-plain-k8-s{seed}/model.safetensors" for seed in range(3)]
    assert all((headless / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in students)
    assert run(headless).told == []


def test_notes_of_the_call_whose_head_died_are_kept(headless: Path, run: Any) -> None:
    """As they stood when the last stage began: that call made them, and the next one trains nothing."""
    run(headless)
    notes = json.loads((headless / "run.json").read_text())["notes"]
    assert any("k=8 trains 3 steps" in note for note in notes)


def test_what_is_still_missing_runs(headless: Path, run: Any) -> None:
    left(headless)[0].write_text('{"key": "torn')
    watcher = run(headless)
    assert len(Cluster.began) == 1 and len(lines(headless)) == 3
    assert sorted(watcher.told) == [("finished", 1), ("finished", 2), ("run finished", 0)]
    assert watcher.told[1] == ("finished", Cluster.began[0])


def test_fresh_takes_in_nothing(headless: Path, run: Any) -> None:
    run(headless, fresh=True)
    assert Cluster.began == [0, 1, 2] and not (headless / ".finished").exists()


def test_cells_of_another_recipe_are_not_taken_in(headless: Path, run: Any) -> None:
    run(headless, "train.lr=0.02")
    assert Cluster.began == [0, 1, 2] and not (headless / ".finished").exists()


def test_students_that_cannot_be_chosen_go_as_ever(headless: Path, run: Any) -> None:
    run(headless, "students=best")
    assert Cluster.began == [] and len(lines(headless)) == 3
    assert len(list((headless / "students").iterdir())) == 1


def test_students_that_are_trained_again_leave_no_row(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "run", "students=none")
    monkeypatch.setattr(Cluster, "hears", 1)
    with pytest.raises(HeadDies):
        run(tmp_path / "run")
    assert left(tmp_path / "run") == []


def test_a_failed_cell_leaves_no_row(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "cause_of", lambda metrics, finite: "it is odd" if finite else None)
    monkeypatch.setattr(Cluster, "hears", 0)
    with pytest.raises(HeadDies):
        run(tmp_path / "run")
    assert Cluster.began == [0, 1, 2] and left(tmp_path / "run") == []


def test_a_run_in_one_process_leaves_no_row(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any) -> None:
        raise HeadDies

    monkeypatch.setattr("cod_runner.runs.folder.RunFolder.append_row", interrupted)
    with pytest.raises(HeadDies):
        run(tmp_path / "run", executor="processes")
    assert not (tmp_path / "run" / ".finished").exists()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")]
)
def test_a_cell_without_memory_ends_the_run_with_a_sentence(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(cell, "train_student", full)
    with pytest.raises(
        CodrunError, match=r"the cell kd-plain-k8-s0 ran out of memory \(.+\); end what else uses it"
    ) as told:
        run(tmp_path / "run")
    assert told.value.__cause__ is error


def test_an_empty_file_of_what_workers_wrote_goes(tmp_path: Path, run: Any) -> None:
    run(tmp_path / "run")
    (tmp_path / "run" / "workers.log").touch()
    run(tmp_path / "run")
    assert not (tmp_path / "run" / "workers.log").exists()
