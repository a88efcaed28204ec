"""A task's answer as bytes: what the work raised comes home as itself, and any other exception is the machinery's."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class RemoteTraceback(Exception):
    """Where an exception was raised, in another process: its cause, as Python prints it."""


@dataclass(frozen=True)
class _Answer:
    result: Any = None
    error: BaseException | None = None
    traceback: str = ""


def answered(work: Callable[[Any], Any], task: bytes) -> bytes:
    """What ``work`` makes of a pickled task: its result, or the exception that it raised."""
    try:
        return pickle.dumps(_Answer(work(pickle.loads(task))))  # noqa: S301 - the head wrote it
    except Exception as error:  # noqa: BLE001 - the head raises it
        text = traceback.format_exc()
        try:
            whole = pickle.dumps(_Answer(error=error, traceback=text))
            pickle.loads(whole)  # noqa: S301 - our own; many an exception cannot be made again from its parts
        except Exception:  # noqa: BLE001 - whatever pickling a stranger's exception raises
            return pickle.dumps(_Answer(error=RuntimeError(f"{type(error).__name__}: {error}"), traceback=text))
        return whole


def result_of(answer: bytes) -> Any:
    """The result, or the exception raised as it was there."""
    found = pickle.loads(answer)  # noqa: S301 - a worker of the run's wrote it
    assert isinstance(found, _Answer)
    if found.error is not None:
        raise found.error from RemoteTraceback(f"\n{found.traceback}")
    return found.result
