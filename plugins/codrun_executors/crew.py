"""The workers of one call of ``map``: which task is whose, and what happens where one dies or runs out of memory."""

from __future__ import annotations

import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from cod_runner.api import TaskAttempts, how_it_ended
from codrun_executors.places import Place
from codrun_executors.worker_process import WorkerProcess

SECONDS_BETWEEN_LOOKS = 1.0
"""How often workers are looked at that say nothing: a process that a dead one left behind may keep its line open."""


class Crew:
    """A worker for each place, once there is a task for it."""

    def __init__(
        self, work: Callable[[Any], Any], tasks: Sequence[Any], places: Sequence[Place], say: Callable[[str], None]
    ) -> None:
        self._work = pickle.dumps(work)
        self._tasks = tasks
        self._say = say
        self._attempts = TaskAttempts(say, tasks)
        self._waiting = deque(range(len(tasks)))
        self._alone: list[int] = []
        """Tasks that begin anew once no other is left, with nothing beside them."""
        self._places = list(places)
        self._workers: list[WorkerProcess] = []

    def results(self) -> Iterator[Any]:
        """Of every task once, as they come. An exception of a task is raised, and so is a task's third death."""
        while True:
            self._begin_tasks()
            busy = [worker for worker in self._workers if worker.number is not None]
            if busy:
                for worker in _heard_of(busy):
                    yield from self._result(worker)
            elif self._alone:
                self._go_on_alone()
            else:
                return

    def disband(self, *, now: bool) -> None:
        """Have all workers leave, ``now`` even those that are at a task, and wait until they have."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.dismiss(now=now)
        for worker in workers:
            worker.stop(now=now)

    def _begin_tasks(self) -> None:
        """Give the first tasks that wait to workers that have nothing to do, then to new ones in places without."""
        for worker in [each for each in self._workers if each.number is None and each.has_died]:
            self._workers.remove(worker)
            worker.stop(now=True)
        for worker in self._workers:
            if self._waiting and worker.number is None:
                number = self._waiting.popleft()
                worker.begin(number, pickle.dumps(self._tasks[number]))
        while self._waiting and len(self._workers) < len(self._places):
            free = list(self._places)
            for worker in self._workers:
                free.remove(worker.place)
            number = self._waiting.popleft()
            self._workers.append(WorkerProcess(free[0], self._work, number, pickle.dumps(self._tasks[number])))
        for worker in self._workers:
            worker.beside = max(worker.beside, self._others_in_its_memory(worker))

    def _result(self, worker: WorkerProcess) -> Iterator[Any]:
        """What a worker that was heard of has done, if it has."""
        number = worker.number
        assert number is not None
        try:
            answer = worker.answer()
        except EOFError:
            self._died(worker, number)
            return
        if answer is None:
            return
        if answer.error is None:
            yield answer.result
        elif answer.out_of_memory and worker.beside:
            self._ran_out(worker, number)
        else:
            raise answer.error.exception()

    def _others_in_its_memory(self, worker: WorkerProcess) -> int:
        """How many others use the same GPU, or the machine's memory where it has no GPU of its own; also those that
        have nothing to do, which keep what they took."""
        return sum(other is not worker and other.place.gpu == worker.place.gpu for other in self._workers)

    def _ran_out(self, worker: WorkerProcess, number: int) -> None:
        memory = "memory of its GPU" if worker.place.gpu else "memory"
        others = f"{worker.beside} other{'s' if worker.beside > 1 else ''}"
        self._say(
            f"the cell {self._tasks[number]} ran out of {memory} beside {others}; "
            "it begins anew, alone, once the others are done"
        )
        self._alone.append(number)
        self._workers.remove(worker)
        worker.stop(now=True)
        self._run_fewer(worker.place)

    def _died(self, worker: WorkerProcess, number: int) -> None:
        code = worker.ended()
        self._workers.remove(worker)
        attempt = self._attempts.died(number, "it closed its connection" if code is None else how_it_ended(code))
        if attempt == TaskAttempts.MOST:
            self._alone.append(number)
        else:
            self._waiting.append(number)
        if code == -signal.SIGKILL:
            self._run_fewer(worker.place)

    def _run_fewer(self, place: Place) -> None:
        if len(self._places) > 1:
            self._places.remove(place)
            self._say(f"from here on {len(self._places)} at once, not {len(self._places) + 1}, since memory ran out")

    def _go_on_alone(self) -> None:
        """One place for all tasks that are left, and a new worker in it, since idle ones keep their memory."""
        self.disband(now=False)
        del self._places[1:]
        self._waiting.extend(self._alone)
        self._alone.clear()


def _heard_of(workers: Sequence[WorkerProcess]) -> list[WorkerProcess]:
    """Those that have said something, or have died; waits for the first."""
    while True:
        ready = set(wait([worker.connection for worker in workers], SECONDS_BETWEEN_LOOKS))
        heard = [worker for worker in workers if worker.connection in ready or worker.has_died]
        if heard:
            return heard
