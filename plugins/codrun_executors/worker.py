"""What runs in a worker process: it is sent the work once, then a task at a time, and answers each."""

from __future__ import annotations

import functools
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]  # public, but not in typeshed
from typing import Any

from cod_runner.api import end_with_the_parent

READY = b"ready"
"""A worker's first message: whatever it is sent from now on, it reads at once."""
SAID_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What messages of torch's RuntimeErrors contain that no class of their own tells apart."""


@dataclass(frozen=True)
class Answer:
    """What became of a task."""

    result: Any = None
    error: Any = None
    """The exception; None where there is a result."""
    out_of_memory: bool = False
    """Whether the exception, or one that it came from, says so."""


def serve(connection: Connection) -> None:
    """Answer every task until the parent closes the connection, or is gone."""
    _leave_with_the_parent()
    try:
        connection.send_bytes(READY)
        # loaded with the first task, whose answer tells what goes wrong
        work = functools.cache(functools.partial(pickle.loads, connection.recv_bytes()))
        while True:
            connection.send_bytes(_answered(work, connection.recv_bytes()))
    except (EOFError, ConnectionError):
        return


def _answered(work: Callable[[], Callable[[Any], Any]], task: bytes) -> bytes:
    try:
        result = work()(pickle.loads(task))  # noqa: S301 - the parent's own
        return pickle.dumps(Answer(result))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised in the parent
        return _told(error)


def _told(error: BaseException) -> bytes:
    """An answer with the exception and its traceback; with their text alone where it cannot travel."""
    memory = is_of_memory(error)
    try:
        told = pickle.dumps(Answer(error=ExceptionWithTraceback(error, error.__traceback__), out_of_memory=memory))
        pickle.loads(told)  # noqa: S301 - our own; one whose __init__ wants more than its message cannot be made again
    except Exception:  # noqa: BLE001 - a stranger's exception may do anything
        text = "".join(traceback.format_exception(error))
        told = pickle.dumps(Answer(error=RuntimeError(text), out_of_memory=memory))
    return told


def is_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it was raised from, says that memory ran out, the machine's or a GPU's."""
    while error is not None:
        torch = sys.modules.get("torch")
        if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(said in str(error) for said in SAID_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _leave_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the parent held it back while this one started
    end_with_the_parent()
