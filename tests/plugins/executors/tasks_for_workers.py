"""Work for worker processes that imports nothing heavy. A worker's start is all that it costs."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Told:
    """What a task did where it ran."""

    name: str
    process: int
    environment: dict[str, str]
    torch: bool
    """Whether torch was imported already."""
    handles_ctrl_c: bool


@dataclass(frozen=True)
class Task:
    """What happens in a worker."""

    name: str
    folder: Path
    ways: tuple[str, ...] = ()
    """How the first attempts end; those after them succeed."""
    seconds: float = 0.0
    after: str = ""
    """A file of the folder that it waits for first."""

    def __str__(self) -> str:
        return self.name


class Strange(Exception):
    """Cannot be made again from its message."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


class Work:
    """Leaves a file for each attempt, ``NAME.1`` for the first, with what else was at work then."""

    def __init__(self, folder: Path, loads: str = "") -> None:
        self.folder = folder
        self.loads = loads

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        (self.folder / f"loaded.{os.getpid()}.{time.monotonic_ns()}").touch()
        if self.loads:
            raise ValueError(self.loads)

    def __call__(self, task: Task) -> Told:
        attempt = len(list(self.folder.glob(f"{task.name}.*"))) + 1
        at_work = self.folder / f"at_work.{task.name}"
        at_work.touch()
        until = time.monotonic() + 240
        while not (self.folder / task.after).exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(task.seconds)
        others = len(list(self.folder.glob("at_work.*"))) - 1
        (self.folder / f"{task.name}.{attempt}").write_text(f"{os.getpid()} {others}")
        at_work.unlink()
        if attempt <= len(task.ways):
            WAYS[task.ways[attempt - 1]]()
        environment = {name: os.environ[name] for name in SEEN if name in os.environ}
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return Told(task.name, os.getpid(), environment, "torch" in sys.modules, not ignored or blocked)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashes() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves() -> None:
    os._exit(7)


def leaves_a_child() -> None:
    """Die, while a forked process goes on that has all that is open here, until its file ``child`` is gone."""
    child = Path(os.environ["CHILD_IN"]) / "child"
    child.touch()
    if os.fork():
        os._exit(7)
    until = time.monotonic() + 240
    while child.exists() and time.monotonic() < until:
        time.sleep(0.01)
    child.unlink(missing_ok=True)
    os._exit(0)


def out_of_memory() -> None:
    raise MemoryError("no more")


def fails() -> None:
    raise ZeroDivisionError("on purpose")


def strange() -> None:
    raise Strange("one", "other")


def exits() -> None:
    sys.exit(3)


def ignores_the_end() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (Path(os.environ["DEAF_IN"]) / "deaf").touch()
    time.sleep(60)


ALL = (killed, crashes, leaves, leaves_a_child, out_of_memory, fails, strange, exits, ignores_the_end)
WAYS = {way.__name__: way for way in ALL}
SEEN = ("CUDA_VISIBLE_DEVICES", "RAYON_NUM_THREADS")
"""Variables that a task tells of."""


def gives_what_cannot_travel(task: object) -> object:
    return lambda: task
