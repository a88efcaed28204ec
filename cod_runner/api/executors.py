"""The contract of what runs cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class Executor(Protocol):
    """Kind ``executor``: where cells run."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterable[Any]:
        """Results as they come, in any order. ``work`` and ``tasks`` can be pickled. An exception that ``work``
        raises is raised here, after the workers were stopped."""
        ...
