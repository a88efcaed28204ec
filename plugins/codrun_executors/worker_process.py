"""One worker process, as its parent sees it."""

from __future__ import annotations

import multiprocessing
import pickle
from contextlib import suppress

from cod_runner.api import starting_workers
from codrun_executors.places import Place
from codrun_executors.worker import READY, Answer, serve

SECONDS_TO_END = 5
"""How long a process is waited for that ends, before it is killed."""
SPAWN = multiprocessing.get_context("spawn")
"""fork would copy torch's thread pools in an undefined state, and a CUDA that cannot be used after it"""


class WorkerProcess:
    """A process of its own that was started for a task, and is given others after it."""

    def __init__(self, place: Place, work: bytes, number: int, task: bytes) -> None:
        """Start it with a task and the task's number. ``work`` and ``task`` are pickled."""
        self.place = place
        self.number: int | None = number
        """Of the task that it is at; None between tasks."""
        self.beside = 0
        """How many others used the same memory at most, while it was at this task."""
        self._unsent: list[bytes] = [work, task]
        self.connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=serve, args=(theirs,))
        with starting_workers(place.environment):
            self._process.start()
        theirs.close()  # so that the connection ends with the worker

    def begin(self, number: int, task: bytes) -> None:
        """Give it a task after it answered the one before."""
        self.number, self.beside = number, 0
        self._send(task)

    def answer(self) -> Answer | None:
        """Its answer, once its connection has something, or it has died; None where that was the word that it has
        started. Raises ``EOFError`` where it has died."""
        if self.has_died and not self.connection.poll():
            raise EOFError
        try:
            told = self.connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        if told == READY:
            for message in self._unsent:
                self._send(message)
            self._unsent.clear()
            return None
        self.number = None
        answer: Answer = pickle.loads(told)  # noqa: S301 - our own worker's
        return answer

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # it has died, as its connection is about to tell
            self.connection.send_bytes(message)

    @property
    def has_died(self) -> bool:
        """Whether it has ended; a process of its own that still runs may keep its connection open."""
        return self._process.exitcode is not None

    def ended(self) -> int | None:
        """Wait for one that has died; its exit code, minus the signal where one ended it, or None if it closed its
        connection and went on, which it then does no longer."""
        self._process.join(SECONDS_TO_END)
        code = self._process.exitcode
        self.stop(now=True)
        return code

    def dismiss(self, *, now: bool) -> None:
        """Have it leave: once it has nothing to do, or ``now``. Returns at once."""
        self.connection.close()
        if now:
            self._process.terminate()

    def stop(self, *, now: bool) -> None:
        """Have it leave, and wait until it has."""
        self.dismiss(now=now)
        self._process.join(SECONDS_TO_END)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()
