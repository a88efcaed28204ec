"""What runs in a worker process: it is sent the work once, then a task at a time, and answers each."""

from __future__ import annotations

import functools
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from cod_runner.api import RemoteError, end_with_the_parent, ran_out_of_memory

READY = b"ready"
"""A worker's first message: whatever it is sent from now on, it reads at once."""


@dataclass(frozen=True)
class Answer:
    """What became of a task."""

    result: Any = None
    error: RemoteError | None = None
    """None where there is a result."""
    out_of_memory: bool = False
    """Whether the exception says so, or one that it was raised from, which does not come home with it."""


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
        return pickle.dumps(Answer(error=RemoteError.of(error), out_of_memory=ran_out_of_memory(error)))


def _leave_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the parent held it back while this one started
    end_with_the_parent()
