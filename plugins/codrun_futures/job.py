"""What runs in a worker of an executor, a thread or a process."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cod_runner.api import answered, end_with_the_parent

_ONE_AT_A_TIME = threading.Lock()
"""All threads of a process share torch's random generators: students that train in two of them would draw each
other's numbers."""


def answer_in_worker(work: str, task: bytes, attempt: str) -> bytes:
    """The answer to a pickled task, by the work that was written to the file ``work``.

    ``attempt`` differs in every call, for executors that take equal calls for one.
    """
    _end_with_the_parent()
    with _ONE_AT_A_TIME:
        return answered(_read(work), task)


@functools.lru_cache(maxsize=1)
def _read(work: str) -> Callable[[Any], Any]:
    """Once for all tasks of a run: a run's file has a name of its own."""
    found: Callable[[Any], Any] = pickle.loads(Path(work).read_bytes())  # noqa: S301 - the head wrote it
    return found


@functools.cache
def _end_with_the_parent() -> None:
    """Watched once in a process."""
    end_with_the_parent()
