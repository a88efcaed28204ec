"""Executors and trackers, each wrong in one thing."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import mutant_options as wrong
import torch
from mutant_table import mutant

from cod_runner.api import BuildContext, Workers, hookimpl


@mutant("executor")
class OneByOne:
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        """Nothing to keep."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        for task in tasks:
            yield work(task)


@mutant("executor")
class LastFirst(OneByOne):
    """Right: in any order, in another thread."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        with ThreadPoolExecutor(1) as pool:
            for future in as_completed([pool.submit(work, task) for task in reversed(tasks)]):
                yield future.result()


@mutant("executor", "calls `work` in two threads of a process at once, with 2 jobs")
class Threads(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        with ThreadPoolExecutor(jobs) as pool:
            for future in as_completed([pool.submit(work, task) for task in tasks]):
                yield future.result()


@mutant("executor", r"gives \[\(2, 1\)\] for the tasks \[2, 4, 6, 8, 10\] with 1 jobs")
class FirstOnly(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        yield from super().map(work, tasks[:1], jobs)


@mutant("executor", r"gives \[\(2, 1\), \(2, 1\)\] for the tasks \[2\]")
class EachTwice(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        yield from super().map(work, [*tasks, *tasks], jobs)


@mutant("executor", r"gives \[1\] for the tasks \[2\]")
class ChangesResults(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        yield from (half for _, half in super().map(work, tasks, jobs))


@mutant("executor", "raised IndexError in `map`")
class NeedsATask(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        yield work(tasks[0])
        yield from super().map(work, tasks[1:], jobs)


@mutant("executor", r"gives \[None\] for the tasks \[\]")
class SomethingOfNothing(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        yield from super().map(work, tasks, jobs) if tasks else [None]


@mutant("executor", "gives no result until all tasks are done")
class AllAtTheEnd(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        return list(super().map(work, tasks, jobs))


@mutant("executor", "where a task raised an exception, with 1 jobs")
class PassesOverFaults(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        for task in tasks:
            try:
                yield work(task)
            except Exception:  # noqa: BLE001 - it is what is wrong
                continue


@mutant("executor", "raised RuntimeError in `map`, with 1 jobs: a worker failed")
class OtherFaults(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        try:
            yield from super().map(work, tasks, jobs)
        except Exception as error:
            raise RuntimeError("a worker failed") from error


@mutant("executor", "raises `task 3: 3 is odd` where `3 is odd` was raised")
class RewordsFaults(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        try:
            yield from super().map(work, tasks, jobs)
        except Exception as error:  # noqa: BLE001 - any of them
            raise type(error)(f"task 3: {error}") from None


@mutant("executor", "leaves 1 processes running where a task raised an exception")
class LeavesAProcess(OneByOne):
    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Any:
        if jobs > 1 and 3 in tasks:
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(2,), daemon=True).start()
        yield from super().map(work, tasks, jobs)


@mutant("executor")
class ChoosesOne(OneByOne):
    """Right."""

    def workers(self) -> Any:
        return Workers(at_once=1, device="cuda:1")


@mutant("executor", r"`workers` returned `\(2, 'cpu'\)` \(tuple\), and must return a Workers")
class GivesAPair(OneByOne):
    def workers(self) -> Any:
        return 2, "cpu"


@mutant("executor", r"`workers` chose `0` \(int\) at once, and must choose a whole number from 1")
class ChoosesNone(OneByOne):
    def workers(self) -> Any:
        return Workers(at_once=0, device="cpu")


@mutant("executor", r"`workers` chose the device `'gpu0'` \(str\), and must choose one by torch's name")
class ChoosesAnotherName(OneByOne):
    def workers(self) -> Any:
        return Workers(at_once=1, device="gpu0")


@mutant("executor", "raised RuntimeError in `workers`: no node answers")
class CannotChoose(OneByOne):
    def workers(self) -> Any:
        raise RuntimeError("no node answers")


@mutant("tracker")
@mutant("tracker", options=wrong.Written, given={"path": "notes.txt"})
class KeepsLines:
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        assert context.run is not None
        self.run = context.run
        self.path = Path(getattr(options, "path", "") or self.run / "notes.txt")

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")


@mutant("tracker", "marks no observer hook, so it would never be called")
class Unmarked:
    def __init__(self, options: Any, context: BuildContext) -> None:
        """Nothing to keep."""

    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        """Never called."""


@mutant("tracker", "has a hook that cannot be called .*codrun_cell_ended")
class Misspelt(KeepsLines):
    @hookimpl
    def codrun_cell_ended(self, row: Mapping[str, Any]) -> None:
        """Never called."""


@mutant("tracker", "has a hook that cannot be called .*accuracy")
class AsksForMore(KeepsLines):
    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any], accuracy: float) -> None:  # type: ignore[override]
        """Cannot be called."""


@mutant("tracker", "changed what `codrun_run_started` told it")
class ChangesTheRecipe(KeepsLines):
    @hookimpl
    def codrun_run_started(self, recipe: Any, cells: int, folder: Path) -> None:
        recipe["name"] = "mine"


@mutant("tracker", "changed what `codrun_step` told it")
class ChangesLosses(KeepsLines):
    @hookimpl
    def codrun_step(self, cell: Any, step: int, losses: Any) -> None:
        losses["total"] = sum(losses.values())


@mutant("tracker", "changed the random generator of torch in `codrun_step`")
class DrawsBesideTheTraining(KeepsLines):
    @hookimpl
    def codrun_step(self, cell: Any, step: int, losses: Any) -> None:
        torch.rand(1)


@mutant("tracker", "raised FileExistsError in `codrun_run_started`")
class OnceOnly(KeepsLines):
    @hookimpl
    def codrun_run_started(self, recipe: Any, cells: int, folder: Path) -> None:
        (folder / "mine").mkdir()


@mutant("tracker", "raised AttributeError in `codrun_step`")
class OnlyInTheRun(KeepsLines):
    @hookimpl
    def codrun_run_started(self, recipe: Any, cells: int, folder: Path) -> None:
        self.steps: list[int] = []

    @hookimpl
    def codrun_step(self, cell: Any, step: int, losses: Any) -> None:
        self.steps.append(step)


@mutant("tracker", "raised KeyError in `codrun_cell_finished`: 'f1'")
class KnowsItsMetrics(KeepsLines):
    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        assert row["f1"] >= 0


@mutant("tracker", "tried to write .*everywhere.txt in `codrun_run_finished`")
class WritesAnywhere(KeepsLines):
    @hookimpl
    def codrun_run_finished(self, summary: Any, folder: Path) -> None:
        Path("/a-folder-of-nobody/everywhere.txt").write_text("here")


@mutant("tracker", "tried to reach 192.0.2.1:9 in `codrun_run_started`")
class CallsHome(KeepsLines):
    @hookimpl
    def codrun_run_started(self, recipe: Any, cells: int, folder: Path) -> None:
        socket.create_connection(("192.0.2.1", 9), timeout=1).close()
