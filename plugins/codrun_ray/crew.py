"""The workers of a run: who is asked what, whose answer has come, and who has died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayError

from cod_runner.api import CodrunError, TaskAttempts, one_line
from codrun_ray.request import Request
from codrun_ray.worker import Raised, Versions, Worker

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
        self._told: set[str] = set()
        self._workers: list[Any] = []
        self._asked: dict[Any, Asked] = {}
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
        waiting = deque(range(len(tasks)))
        for number in range(at_once):
            self._begin(number)
        left, started, told = len(tasks), time.monotonic(), False
        while left:
            # a second at most, so that Ctrl-C is heard
            ready, _ = ray.wait(list(self._asked), num_returns=1, timeout=1)
            if not ready:
                none_yet = all(asked.begins for asked in self._asked.values()) and len(waiting) == len(tasks)
                if none_yet and not told and time.monotonic() - started > SECONDS_WITHOUT_A_WORKER:
                    self._say(f"no node of the Ray cluster has {self._request} free; cells wait for one")
                    told = True
                continue
            asked = self._asked.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except (RayActorError, ObjectLostError) as error:
                self._died(asked, error)
                if not asked.begins:
                    waiting.appendleft(asked.task)
                if waiting:
                    self._begin(asked.task)
                continue
            except RayError as error:
                raise CodrunError(f"Ray failed: {_shown(str(error))}") from error
            if isinstance(answer, Raised):
                raise answer.error
            if asked.begins:
                self._compare(*answer)
            if waiting:
                number = waiting.popleft()
                self._asked[asked.worker.train.remote(tasks[number])] = Asked(asked.worker, number)
            else:
                self._end(asked.worker)
            if not asked.begins:
                left -= 1
                yield answer[0]

    def _begin(self, task: int) -> None:
        worker = self._actor.remote()
        self._workers.append(worker)
        self._asked[worker.begin.remote(self._work, self._run)] = Asked(worker, task, begins=True)

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
        if versions != self._versions and host not in self._told:
            self._told.add(host)
            self._say(
                f"the node {host} has {versions}, and this machine {self._versions}: results may differ in last digits"
            )


def _shown(said: str) -> str:
    """What Ray says, on one line."""
    return one_line(said)[:LONGEST_CAUSE]
