"""Runs cells as jobs, takes their answers as they come, and begins anew what died."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cod_runner.api import BuildContext, SettingError, TaskAttempts, Workers, result_of
from codrun_submitit.call import Call, begun_call, end_earlier_calls
from codrun_submitit.cluster import Cluster, chosen_cluster
from codrun_submitit.job import Cells
from codrun_submitit.options import SubmititOptions
from codrun_submitit.slurm import Queue, cancel_named, state_of

if TYPE_CHECKING:
    from submitit import Job

LOCAL_PAUSE = 0.05
SLURM_PAUSE = 1.0
"""Seconds between two looks at the answers."""
LARGEST_ARRAY = 1000
"""Jobs: Slurm's own limit unless its administrator sets another."""
SECONDS_TO_APPEAR = 30.0
"""How long an answer may take to be seen on a shared file system after its job has ended."""
SECONDS_TO_END = 10.0
"""How long local jobs are waited for that are to end."""


class Submitit:
    """Kind ``executor``."""

    def __init__(self, options: SubmititOptions, context: BuildContext) -> None:
        self._options = options
        self._context = context
        self._cluster = chosen_cluster(options)

    def workers(self) -> Workers:
        """In Slurm as many as the options say; here one per core, or one where it has a GPU."""
        device = "cuda" if self._options.gpus else "cpu"
        if self._cluster == "slurm":
            return Workers(self._options.at_once, device)
        return Workers(1 if self._options.gpus else len(os.sched_getaffinity(0)), device)

    def end_earlier_calls(self) -> None:
        """Cancel the jobs of runs that were killed, and remove their folders."""
        if self._context.run is not None:
            end_earlier_calls(self._context.run, self._context.say)

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        """Results in the order in which they are seen. Jobs are cancelled where it ends early."""
        if not tasks:
            return
        slurm = self._cluster == "slurm"
        with begun_call(self._context.run, work, slurm=slurm) as call:
            cluster = Cluster(self._options, self._cluster, call.folder, call.name, jobs)
            running = _Running(call, cluster, self._options, jobs, self._context.say)
            try:
                yield from running.results(tasks)
            finally:
                running.end()


@dataclass
class _Begun:
    """A job with the tasks that it has not answered yet, in its order."""

    job: Job[Any]
    waiting: dict[int, Any]
    answered: int = 0
    ended_at: float | None = None
    """When it was first seen to have ended."""


class _Running:
    """The jobs of one call."""

    def __init__(
        self, call: Call, cluster: Cluster, options: SubmititOptions, at_once: int, say: Callable[[str], None]
    ) -> None:
        self._call = call
        self._cluster = cluster
        self._options = options
        self._at_once = at_once
        self._say = say
        self._attempts = TaskAttempts(say)
        self._jobs: list[_Begun] = []
        self._queue = Queue(call.name)

    def results(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """Every task's, each once."""
        self._attempts = TaskAttempts(self._say, tasks)
        numbered = list(enumerate(tasks))
        size = self._options.cells_of_a_job(len(numbered), self._at_once)
        waiting = [dict(numbered[start : start + size]) for start in range(0, len(numbered), size)]
        while waiting or self._jobs:
            self._submit(waiting)
            answers = list(self._answered())
            for answer in answers:
                yield result_of(answer)
            waiting += self._died()
            if not answers:
                time.sleep(LOCAL_PAUSE if self._cluster.is_local else SLURM_PAUSE)

    def _submit(self, waiting: list[dict[int, Any]]) -> None:
        """As many as may run at once here; to Slurm, which queues them, all of them, or as many as an array may have
        and then the next ones, so that never more than wanted run at once."""
        room = 0 if self._jobs else LARGEST_ARRAY
        if self._cluster.is_local:
            room = self._at_once - len(self._jobs)
        chosen = waiting[:room]
        del waiting[:room]
        if chosen:
            each = [Cells(self._call.folder, tasks, ends_with_its_head=self._cluster.is_local) for tasks in chosen]
            self._queue.look_again()
            for job, tasks in zip(self._cluster.submit(each), chosen, strict=True):
                self._jobs.append(_Begun(job, tasks))

    def _answered(self) -> Iterator[bytes]:
        for begun in self._jobs:
            for number in list(begun.waiting):
                answer = self._call.answer(number)
                if answer is None:
                    break  # a job answers in order
                del begun.waiting[number]
                begun.answered += 1
                yield answer

    def _died(self) -> list[dict[int, Any]]:
        """Take away the jobs that have ended; the tasks of those that died, to be submitted again."""
        again = []
        for begun in list(self._jobs):
            if not begun.waiting:
                if self._ended(begun):
                    self._jobs.remove(begun)
                    _remove_files(begun.job)
                continue
            if not self._ended(begun):
                begun.ended_at = None
                continue
            if begun.ended_at is None:  # its last answer may just have been written
                begun.ended_at = time.monotonic()
            elif self._cluster.is_local or time.monotonic() - begun.ended_at >= SECONDS_TO_APPEAR:
                self._jobs.remove(begun)
                again.append(self._begun_anew(begun))
        return again

    def _ended(self, begun: _Begun) -> bool:
        """Not by submitit's own look at Slurm, which needs its accounting: many a small cluster has none."""
        if self._cluster.is_local:
            return begun.job.done()
        return begun.job.paths.result_pickle.exists() or self._queue.ended(begun.job.job_id)

    def _begun_anew(self, begun: _Begun) -> dict[int, Any]:
        first = next(iter(begun.waiting))
        paths = begun.job.paths
        self._call.kept_logs.update((paths.stdout, paths.stderr))
        if self._call.out_of_time(first):
            if not begun.answered:
                raise SettingError("a job's `time` was over before a cell had ended: give it more", "time")
            return begun.waiting
        how = f"job {begun.job.job_id}"
        if not self._cluster.is_local:
            how += f": {state_of(begun.job.job_id)}"
        self._attempts.died(first, f"{how}; its log: {paths.stderr}")
        return begun.waiting

    def end(self) -> None:
        """Cancel what still runs. Locally that is all that is left, and is over when this returns."""
        if not self._jobs:
            return
        if not self._cluster.is_local:
            cancel_named(self._call.name)
            return
        self._call.let_go()
        until = time.monotonic() + SECONDS_TO_END
        while not all(begun.job.done() for begun in self._jobs) and time.monotonic() < until:
            time.sleep(LOCAL_PAUSE)


def _remove_files(job: Job[Any]) -> None:
    """The logs and pickles of a job that ended well."""
    paths = job.paths
    for path in (paths.stdout, paths.stderr, paths.result_pickle, paths.submitted_pickle):
        path.unlink(missing_ok=True)
