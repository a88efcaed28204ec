"""A worker's answer to a task: its result, or the exception that its work raised, which is raised again at home.

What comes home is the exception itself, its attributes and notes included, with the worker's own traceback as its
cause. Every executor answers so, whatever carries the bytes; all other exceptions are the carrier's own.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class RemoteTraceback(Exception):
    """Where an exception was raised, in another process: its cause, as Python prints it."""


@dataclass(frozen=True)
class RemoteError:
    """An exception that another process raised. Can be pickled, whatever the exception is."""

    error: BaseException
    traceback: str
    """As Python prints it there."""

    @classmethod
    def of(cls, error: BaseException) -> RemoteError:
        """Of an exception that was caught. One that pickle cannot make again, as many a class of a stranger's, becomes
        a :class:`RuntimeError` with its class's name, its message and its notes."""
        spelled = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just written
        except Exception:  # noqa: BLE001 - a stranger's exception may do anything
            told = RuntimeError(traceback.format_exception_only(error)[0].strip())
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
            error = told
        return cls(error, spelled)

    def exception(self) -> BaseException:
        """To be raised here: the exception, with the traceback as its cause."""
        self.error.__cause__ = RemoteTraceback(f"\n{self.traceback}")
        return self.error


@dataclass(frozen=True)
class _Answer:
    result: Any = None
    error: RemoteError | None = None


def answered(work: Callable[[Any], Any], task: bytes) -> bytes:
    """What ``work`` makes of a pickled task: its result, or the exception that it raised."""
    try:
        return pickle.dumps(_Answer(work(pickle.loads(task))))  # noqa: S301 - the run's own process wrote it
    except Exception as error:  # noqa: BLE001 - it is raised again at home
        return pickle.dumps(_Answer(error=RemoteError.of(error)))


def result_of(answer: bytes) -> Any:
    """The result of an answer, or the exception raised as it was in the worker."""
    found = pickle.loads(answer)  # noqa: S301 - a worker of the run's wrote it
    assert isinstance(found, _Answer)
    if found.error is not None:
        raise found.error.exception()
    return found.result
