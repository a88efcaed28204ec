"""The contract of an executor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

from cod_runner.api import Executor
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.tasks import RefusedTask, halved

RESULTS = "Executor.map: the result of each task once, as it comes, in any order"
EMPTY = "Executor.map: no tasks, no results"
RAISED = "Executor.map: an exception that `work` raises is raised here"
STOPPED = "Executor.map: an exception is raised after the workers were stopped"
AS_THEY_COME = "Executor.map: results as they come: one is there before a later task has failed"


@check_of("executor")
def check_executor(subject: Subject) -> None:
    """Every task once, faults raised as they are, and no process left behind."""
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
        with subject.watched(f"in `map`, with {jobs} jobs"):
            return list(executor.map(halved, list(tasks), jobs))
    except AssertionError as error:
        if refusals and isinstance(error.__cause__, RefusedTask):
            raise error.__cause__ from None
        raise


def _check_order(subject: Subject) -> None:
    """With one job, the first of two results is there though the second task fails."""
    executor: Executor = subject.build()
    found: list[Any] = []
    with subject.watched("in `map`, with 1 jobs"):
        try:
            for result in executor.map(halved, [2, 3], 1):
                found.append(result)
        except RefusedTask:
            pass
    subject.must(found == [(2, 1)], "gives no result until all tasks are done", AS_THEY_COME)
