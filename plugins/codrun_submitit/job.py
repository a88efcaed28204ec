"""What runs inside a job."""

from __future__ import annotations

import _thread
import fcntl
import os
import pickle
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cod_runner.api import answered

WORK = "work.pkl"
"""Holds the work, once for all jobs, in the folder of a call."""
HEAD = "head.lock"
"""Locked by the call as long as it lives."""


def answer_file(folder: Path, task: int) -> Path:
    """Where the answer to the task with this number is, once it is there."""
    return folder / f"{task}.answer"


def out_of_time_file(folder: Path, task: int) -> Path:
    """There once a job was told, while it was at this task, that its time is over."""
    return folder / f"{task}.out_of_time"


class Cells:
    """Several tasks of one job; submitit carries it there, and calls it once, or again after Slurm began the job anew.

    Each task's answer is on disk before the next begins, so a job that dies loses what it was at alone. Tasks are
    carried as bytes, so that nothing heavy is imported before the job watches its head.
    """

    def __init__(self, folder: Path, tasks: Mapping[int, Any], *, ends_with_its_head: bool) -> None:
        self.folder = folder
        self.tasks = {number: pickle.dumps(task) for number, task in tasks.items()}
        self.ends_with_its_head = ends_with_its_head

    def __call__(self) -> None:
        if self.ends_with_its_head:
            _end_with_the_head(self.folder / HEAD)
        work: Callable[[Any], Any] = pickle.loads((self.folder / WORK).read_bytes())  # noqa: S301 - the call wrote it
        for number, task in self.tasks.items():
            path = answer_file(self.folder, number)
            if not path.exists():
                _say_when_time_is_over(out_of_time_file(self.folder, number))
                _write(path, answered(work, task))


def _write(path: Path, whole: bytes) -> None:
    """So that whoever sees the file sees all of it."""
    begun = path.with_suffix(".begun")
    with begun.open("wb") as file:
        file.write(whole)
        file.flush()
        os.fsync(file.fileno())
    begun.replace(path)


def _end_with_the_head(path: Path) -> None:
    """End this process when its head is gone, even by ``kill -9``: the system then lets go of its lock."""

    def watch() -> None:
        with suppress(FileNotFoundError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        os._exit(1)

    # not threading's: its `start` waits for ever for a thread that memory ran out for as it began
    _thread.start_new_thread(watch, ())


def _say_when_time_is_over(note: Path) -> None:
    """Let the signal that comes before a time limit, and before a preemption, end the process by itself.

    submitit's own handler has Slurm begin a preempted job anew. Where the time limit has come, it raises an exception,
    which would go up through the work as if it were the work's own.
    """
    from submitit.core.job_environment import JobEnvironment

    number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
    handler = signal.getsignal(number)
    if isinstance(handler, _BeforeTheEnd):
        handler.note = note
    elif callable(handler):
        signal.signal(number, _BeforeTheEnd(handler, note))


@dataclass
class _BeforeTheEnd:
    submitits: Callable[[int, FrameType | None], Any]
    note: Path

    def __call__(self, number: int, frame: FrameType | None) -> None:
        from submitit.core.utils import UncompletedJobError

        try:
            self.submitits(number, frame)
        except UncompletedJobError:
            self.note.touch()
            os._exit(1)
        except SystemExit as left:  # with the code that has submitit's local controller begin it anew
            os._exit(left.code & 0xFF if isinstance(left.code, int) else 1)
