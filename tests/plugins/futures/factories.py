"""Factories of executors, and work, for the tests of `futures`."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from cod_runner.api import CodrunError

MADE: list[Executor] = []
"""What this process was given, so that a test sees how often."""


def threads(workers: int = 2) -> Executor:
    MADE.append(ThreadPoolExecutor(workers))
    return MADE[-1]


def processes(workers: int = 2) -> Executor:
    MADE.append(ProcessPoolExecutor(workers, max_tasks_per_child=1000))  # which are spawned
    return MADE[-1]


def refuses() -> Executor:
    raise ValueError("no such queue")


def lacking() -> Executor:
    raise CodrunError("the library is not installed")


def not_one() -> str:
    return "an executor"


def dies_once(task: tuple[Path, int]) -> int:
    """The number; its process is killed in the first attempt at 2."""
    folder, number = task
    if number == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


class Moody(Exception):
    """Cannot be made again from what it was pickled to."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def is_moody(task: int) -> int:
    raise Moody(task, task)
