"""The contract of what runs cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class Executor(Protocol):
    """Kind ``executor``: where cells run."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterable[Any]:
        """Results as they come, in any order, one for each task. ``work`` and ``tasks`` can be pickled. An exception
        that ``work`` raises is raised here, after the workers were stopped.

        ``work`` may be called in any thread and in any number of processes, but in one thread at a time of a process:
        torch's random generators are shared by all threads of one, so that students that train in two of them draw
        each other's numbers. A second call meanwhile raises a :class:`CodrunError`, which ends the run.
        """
        ...
