"""The workers of a run: who is asked what, whose answer has come, and who has died."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayError

from cod_runner.api import CodrunError, RemoteError, TaskAttempts, one_line, result_of
from codrun_ray.request import Request
from codrun_ray.worker import Begun, Versions, Worker

SECONDS_WITHOUT_A_WORKER = 30
"""After which the user is told that none has room yet."""
LONGEST_CAUSE = 300
"""Characters of what Ray says of a death."""


@dataclass(frozen=True)
class Asked:
    """A call of a worker's that is not answered yet."""

    worker: Any
    """A handle of Ray's."""
    task: int
    """The number of the task that it trains; of one that only begins, the task to blame where it dies."""
    begins: bool = False


class Crew:
    """A context manager: all workers are ended when it is left."""

    def __init__(
        self, work: Callable[[Any], Any], request: Request, run: Path | None, say: Callable[[str], None]
    ) -> None:
        self._actor = ray.remote(Worker).options(
            **request.options(), max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._request = request
        self._run = run
        self._say = say
        self._attempts = TaskAttempts(say)
        self._versions = Versions.here()
        self._compared: set[str] = set()
        """Hosts of which the user was told that they have other versions."""
        self._workers: list[Any] = []
        self._asked: dict[Any, Asked] = {}
        """By Ray's reference to what the call will give."""
        self._tell_at: float | None = None
        """When the user is told that no worker has begun; None once one has, or the user was told."""
        self._work = ray.put(ray.cloudpickle.dumps(work))

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers:
            ray.kill(worker)

    def results(self, tasks: Sequence[Any], at_once: int) -> Iterator[Any]:
        """What the work gives for each task, as it comes."""
        self._attempts = TaskAttempts(self._say, tasks)
        self._tell_at = time.monotonic() + SECONDS_WITHOUT_A_WORKER
        waiting = deque(range(len(tasks)))
        for number in range(at_once):
            self._begin(number)
        left = len(tasks)
        while left:
            call = self._first_answered()
            asked = self._asked.pop(call)
            try:
                answer = _answer_to(call)
            except (RayActorError, ObjectLostError) as error:
                self._died(asked, error)
                if not asked.begins:
                    waiting.appendleft(asked.task)
                if waiting:
                    self._begin(asked.task)
                continue
            result = self._result(answer)
            if waiting:
                number = waiting.popleft()
                self._train(asked.worker, number, tasks[number])
            else:
                self._end(asked.worker)
            if not asked.begins:
                left -= 1
                yield result

    def _first_answered(self) -> Any:
        """Wait until a call is answered, or its worker has died."""
        while True:
            # a second at most, so that Ctrl-C is heard
            ready, _ = ray.wait(list(self._asked), num_returns=1, timeout=1)
            if ready:
                return ready[0]
            if self._tell_at is not None and time.monotonic() > self._tell_at:
                self._tell_at = None
                self._say(f"no node of the Ray cluster has {self._request} free; cells wait for one")

    def _result(self, answer: Begun | RemoteError | bytes) -> Any:
        """A task's result, None of a worker that has begun; raises what the worker's code raised."""
        if isinstance(answer, RemoteError):
            raise answer.exception()
        if isinstance(answer, Begun):
            self._compare(answer.host, answer.versions)
            return None
        return result_of(answer)

    def _begin(self, task: int) -> None:
        worker = self._actor.remote()
        self._workers.append(worker)
        self._asked[worker.begin.remote(self._work, self._run)] = Asked(worker, task, begins=True)

    def _train(self, worker: Any, number: int, task: Any) -> None:
        self._tell_at = None
        self._asked[worker.train.remote(pickle.dumps(task))] = Asked(worker, number)

    def _end(self, worker: Any) -> None:
        self._workers.remove(worker)
        ray.kill(worker)

    def _died(self, asked: Asked, error: RayError) -> None:
        """Count it; raises :class:`CodrunError` where it was the last attempt, or the node cannot begin at all."""
        self._end(asked.worker)
        if isinstance(error, RayActorError) and error.actor_init_failed:
            raise CodrunError(
                f"a node of the Ray cluster cannot begin a worker ({_shown(str(error))}); every node needs "
                f"{self._versions}"
            ) from error
        self._attempts.died(asked.task, _shown(str(error)))

    def _compare(self, host: str, versions: Versions) -> None:
        """Refuse a node with another codrun, and say once where its torch or Python are others."""
        if versions.codrun != self._versions.codrun:
            raise CodrunError(
                f"the node {host} of the Ray cluster has {versions}, and this machine {self._versions}; install the "
                "same codrun on both"
            )
        if versions != self._versions and host not in self._compared:
            self._compared.add(host)
            self._say(
                f"the node {host} has {versions}, and this machine {self._versions}: results may differ in last digits"
            )


def _answer_to(call: Any) -> Any:
    """What a call gave; raises Ray's error where its worker has died, and :class:`CodrunError` where Ray failed."""
    try:
        return ray.get(call)
    except (RayActorError, ObjectLostError):
        raise
    except RayError as error:
        raise CodrunError(f"Ray failed: {_shown(str(error))}") from error


def _shown(said: str) -> str:
    """What Ray says, on one line."""
    return one_line(said)[:LONGEST_CAUSE]
