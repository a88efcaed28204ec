"""The contract of what runs cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from cod_runner.errors import CodrunError

WORKERS_LOG = "workers.log"
"""In the run's folder: what worker processes write to their standard output and error, which the run's own process
shows. Workers that are not children of that process, and train for one run alone, may let theirs go there."""


class Executor(Protocol):
    """Kind ``executor``: where cells run."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterable[Any]:
        """Results as they come, in any order, one for each task. ``work`` and ``tasks`` can be pickled. An exception
        that ``work`` raises is raised here, after the workers were stopped.

        ``work`` may be called in any thread and in any number of processes, on any machine that sees the run's folder
        and the store under the same paths, but in one thread at a time of a process: torch's random generators are
        shared by all threads of one, so that students that train in two of them draw each other's numbers. A second
        call meanwhile raises a :class:`CodrunError`, which ends the run.

        ``work`` holds what the tasks share, the evaluation split for one: send it once to each worker where that can
        be done. A task may be begun anew where its worker died; :class:`TaskAttempts` counts how often.
        """
        ...


@dataclass(frozen=True)
class Workers:
    """The workers of an executor."""

    at_once: int
    """How many cells run at once unless ``--jobs`` says."""
    device: str
    """On which students train there, a device of torch's by the name that a worker has for it."""


@runtime_checkable
class ChoosesWorkers(Protocol):
    """Optional in an :class:`Executor`: workers of its own kind, on other machines or with a GPU each. Without it, as
    many cells run at once as there are cores, or one on a GPU, on the run's own device."""

    def workers(self) -> Workers:
        """Asked once, before :meth:`Executor.map`."""
        ...


@runtime_checkable
class EndsEarlierCalls(Protocol):
    """Optional in an :class:`Executor`: something that it begins, or writes into the run's folder, outlives a run that
    is killed."""

    def end_earlier_calls(self) -> None:
        """End and remove what killed runs have left. Asked of a new executor, before :meth:`Executor.map` and where
        there is nothing left to map, since the cells were finished by workers that had outlived their run."""
        ...


class TaskAttempts:
    """How often each task was begun whose worker died, out of memory, say: it is begun anew, but not for ever."""

    MOST = 3

    def __init__(self, say: Callable[[str], None], tasks: Sequence[Any] = ()) -> None:
        """``say`` tells the user of each death. The tasks of a run, as strings, name their cells."""
        self._say = say
        self._tasks = tasks
        self._deaths: dict[int, int] = {}

    def died(self, task: int, how: str) -> int:
        """Count the death of the worker that ran the task with this number; ``how`` says what is known of it, as in
        "SIGKILL, often: out of memory". Returns the number of the attempt that follows, from 2, of which :attr:`MOST`
        is the last. Raises :class:`CodrunError` where that one has failed too."""
        deaths = self._deaths[task] = self._deaths.get(task, 0) + 1
        cell = f"the cell {self._tasks[task]}" if self._tasks else "a cell"
        if deaths >= self.MOST:
            raise CodrunError(
                f"the worker process of {cell} died {deaths} times without an error message ({how}); "
                "finished cells are not repeated when the same command is run again"
            )
        self._say(
            f"the worker process of {cell} died ({how}); the cell begins anew, attempt {deaths + 1} of {self.MOST}"
        )
        return deaths + 1
