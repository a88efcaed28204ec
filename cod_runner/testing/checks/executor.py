"""The contract of an executor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

from cod_runner.api import ChoosesWorkers, EndsEarlierCalls, Executor
from cod_runner.component_results import fault_of_workers
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.tasks import CalledAtOnce, RefusedTask, halved, waits_for_the_first

RESULTS = "Executor.map: the result of each task once, as it comes, in any order"
EMPTY = "Executor.map: no tasks, no results"
RAISED = "Executor.map: an exception that `work` raises is raised here"
STOPPED = "Executor.map: an exception is raised after the workers were stopped"
AS_THEY_COME = "Executor.map: results as they come: one is there before a later task has ended"
THREADS = (
    "Executor.map: a process calls `work` in one thread at a time, for random generators are shared by its threads"
)
CHOSEN = "ChoosesWorkers.workers: at least one worker at once, and a device by torch's name for it there"
PATIENCE_SECONDS = 10.0
"""How long a task waits until the result of an earlier one was given."""


@check_of("executor")
def check_executor(subject: Subject) -> None:
    """Workers that there can be, every task once, results as they come, faults raised as they are, and no process left
    behind."""
    before = set(multiprocessing.active_children())
    for tasks, jobs in (((), 2), ((2,), 2), ((2, 4, 6, 8, 10), 1), ((2, 4, 6, 8, 10), 2)):
        found = _mapped(subject, tasks, jobs)
        subject.must(
            sorted(found) == [(task, task // 2) for task in tasks],
            f"gives {found!r:.100} for the tasks {list(tasks)} with {jobs} jobs",
            RESULTS if tasks else EMPTY,
        )
    _check_order(subject)
    for jobs in (1, 2):
        try:
            found = _mapped(subject, (2, 3, 4), jobs, refusals=True)
        except RefusedTask as error:
            subject.must(str(error) == "3 is odd", f"raises `{error}` where `3 is odd` was raised", RAISED)
        else:
            subject.fail(f"gives {found} where a task raised an exception, with {jobs} jobs", RAISED)
        left = set(multiprocessing.active_children()) - before
        subject.must(not left, f"leaves {len(left)} processes running where a task raised an exception", STOPPED)


def _mapped(subject: Subject, tasks: Sequence[int], jobs: int, *, refusals: bool = False) -> list[Any]:
    executor: Executor = subject.build()
    try:
        _ask_for_workers(subject, executor)
        if isinstance(executor, EndsEarlierCalls):
            with subject.watched("in `end_earlier_calls`"):
                executor.end_earlier_calls()
        with subject.watched(f"in `map`, with {jobs} jobs"):
            found = list(executor.map(halved, list(tasks), jobs))
    except AssertionError as error:
        if isinstance(error.__cause__, CalledAtOnce):
            subject.fail(f"calls `work` in two threads of a process at once, with {jobs} jobs", THREADS)
        if refusals and isinstance(error.__cause__, RefusedTask):
            raise error.__cause__ from None
        raise
    subject.must(True, "", THREADS)
    return found


def _ask_for_workers(subject: Subject, executor: Executor) -> None:
    """As a run does before `map`, where the executor chooses them."""
    if not isinstance(executor, ChoosesWorkers):
        return
    with subject.watched("in `workers`"):
        workers = executor.workers()
    fault = fault_of_workers(workers)
    subject.must(fault is None, f"cannot be used: {fault}", CHOSEN)


def _check_order(subject: Subject) -> None:
    """With one job, whichever of two tasks is first: its result is taken before the other ends, which waits for it."""
    executor: Executor = subject.build()
    folder = subject.folder / "order"
    folder.mkdir()
    found: list[bool] = []
    with subject.watched("in `map`, with 1 jobs"):
        for in_time in executor.map(waits_for_the_first, [(folder, PATIENCE_SECONDS)] * 2, 1):
            (folder / "taken").touch()
            found.append(in_time)
    subject.must(all(found), "gives no result until all tasks are done", AS_THEY_COME)
