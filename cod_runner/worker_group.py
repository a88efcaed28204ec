"""Several processes that work on one thing together: they tell this one what they have, and none outlives it or the
others, however one of them ends."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from cod_runner.answers import RemoteError
from cod_runner.child_processes import end_with_the_parent, how_it_ended, starting_workers
from cod_runner.errors import CodrunError
from cod_runner.machine import cores

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_TELL = 2.0
"""How long the others are heard after one failed: who lost a peer says so, often before the peer's end is seen."""
MOST_ON_A_CPU = 2
"""Processes that any machine may start, however few cores it has."""


@dataclass(frozen=True)
class Place:
    """Which of the processes it is."""

    number: int
    """From 0."""
    of: int
    gpu: str | None = None
    """The one that it alone sees, as ``CUDA_VISIBLE_DEVICES`` names it; None: it computes on the CPU."""

    @property
    def cores(self) -> int:
        """Its share of the machine's: with a thread for each core in each process they would wait for one another."""
        return max(1, cores() // self.of)


Tell: TypeAlias = Callable[[Any], None]
Work: TypeAlias = Callable[[Place, Tell], Any]
"""What each of them does, given its place and a way to tell this process something; what it returns is told last. It
can be pickled, and so can all that it tells."""


@dataclass(frozen=True)
class Told:
    """What one of the processes told, or, as ``last``, returned."""

    number: int
    content: Any
    last: bool = False


@dataclass
class _Member:
    process: BaseProcess
    connection: Connection
    ended: bool = False
    """Whether it has returned, or failed."""


@dataclass(frozen=True)
class _Failure:
    error: BaseException
    died: bool = False
    """Whether it ended without a word."""

    @property
    def rank(self) -> int:
        """The smaller, the more it explains: a sentence of ours, then a death, then what others make of it."""
        return 1 if self.died else 0 if isinstance(self.error, CodrunError) else 2


@dataclass
class WorkerGroup:
    """Processes at work."""

    doing: str
    """As in "that fine-tune the teacher", for messages."""
    cure: str
    """What the user can do where one died, as a clause."""
    _members: list[_Member] = field(default_factory=list)
    _asked_to_end: bool = False

    def told(self, look: Callable[[], None] = lambda: None) -> Iterator[Told]:
        """What they tell, as it comes, until each has returned or :meth:`ask_to_end` has had its effect; ``look`` is
        called every :data:`SECONDS_BETWEEN_LOOKS`.

        Raises what one of them raised, or :class:`CodrunError` for one that died.
        """
        while working := [each for each in self._members if not each.ended]:
            wait([one for each in working for one in (each.connection, each.process.sentinel)], SECONDS_BETWEEN_LOOKS)
            look()
            for member in working:
                for given in self._heard(member):
                    if isinstance(given, Told):
                        yield given
                        continue
                    if self._asked_to_end and given.died:
                        return
                    raise self._cause(given).error

    def ask_to_end(self) -> None:
        """Send the first process SIGTERM, for which it ends as soon as its work is in order, and :meth:`told` too."""
        self._asked_to_end = True
        self._members[0].process.terminate()

    def _start(self, work: Work, place: Place) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy torch's threads in an undefined state
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_member, args=(work, place, theirs), daemon=True)
        with starting_workers(_environment(place)):
            process.start()
        theirs.close()
        self._members.append(_Member(process, ours))

    def _end(self) -> None:
        for member in self._members:
            member.process.kill()
        for member in self._members:
            member.process.join()
            member.connection.close()

    def _heard(self, member: _Member) -> Iterator[Told | _Failure]:
        number, alive = self._members.index(member), member.process.is_alive()
        try:
            while not member.ended and member.connection.poll():
                message: Told | RemoteError = pickle.loads(member.connection.recv_bytes())  # noqa: S301 - our own
                if isinstance(message, RemoteError):
                    member.ended = True
                    yield _Failure(message.exception())
                else:
                    member.ended = message.last
                    yield message
        except (EOFError, OSError):  # what it told before was whole
            alive = False
        if not member.ended and not alive:
            member.ended = True
            yield _Failure(CodrunError(f"{self._named(number)} died ({_how(member.process)}); {self.cure}"), died=True)

    def _named(self, number: int) -> str:
        return f"process {number + 1} of the {len(self._members)} {self.doing}"

    def _cause(self, first: _Failure) -> _Failure:
        """Of the failures within :data:`SECONDS_TO_TELL`, the one that explains the others."""
        failures, until = [first], time.monotonic() + SECONDS_TO_TELL
        while time.monotonic() < until and min(each.rank for each in failures) > 0:
            for member in self._members:
                failures += [given for given in self._heard(member) if isinstance(given, _Failure)]
            time.sleep(SECONDS_BETWEEN_LOOKS / 10)
        return min(failures, key=lambda each: each.rank)


@contextmanager
def worker_group(work: Work, places: Sequence[Place], doing: str, cure: str) -> Iterator[WorkerGroup]:
    """Start a process for each of ``places``; at the end of the block, however it comes, none of them is left.

    They leave Ctrl-C to this process, and end when it does, even by ``kill -9``.
    """
    group = WorkerGroup(doing, cure)
    try:
        for place in places:
            group._start(work, place)
        yield group
    finally:
        group._end()


def places_for(processes: int, gpus: Sequence[str] | None) -> list[Place]:
    """A place for each process, each with its own of ``gpus`` where they compute on these."""
    return [Place(number, processes, None if gpus is None else gpus[number]) for number in range(processes)]


def most_on_the_cpu() -> int:
    """How many processes may share this machine's cores; a recipe cannot start more."""
    return max(MOST_ON_A_CPU, cores())


# --- in the process itself ----------------------------------------------------------------------------------------


def _member(work: Work, place: Place, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if place.number:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a scheduler's word to end is the first one's to follow
    end_with_the_parent()

    def tell(content: Any) -> None:
        connection.send_bytes(pickle.dumps(Told(place.number, content)))

    try:
        last = pickle.dumps(Told(place.number, work(place, tell), last=True))
    except Exception as error:  # noqa: BLE001 - it is raised in the parent
        last = pickle.dumps(RemoteError.of(error))
    connection.send_bytes(last)


# --- starting and ending one --------------------------------------------------------------------------------------


def _environment(place: Place) -> dict[str, str]:
    """That of a process in its place."""
    own = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # its warnings are about torch's own settings; what fails is raised
    return own if place.gpu is None else {**own, "CUDA_VISIBLE_DEVICES": place.gpu}


def _how(process: BaseProcess) -> str:
    process.join(SECONDS_TO_TELL)
    return how_it_ended(process.exitcode or 0)
