"""Work that dies, for jobs that find this folder on their path."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def dies_once(task: tuple[Path, int]) -> int:
    """The number; its process is killed in the first attempt at 2."""
    folder, number = task
    with (folder / "begun").open("a") as file:
        file.write(f"{number}\n")
    if number == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def out_of_time_at_two(task: tuple[Path, int]) -> int:
    """The number; at 2 the job is told that its time is over, as Slurm tells it before the limit: for 2 the
    first time, for 5 always."""
    folder, number = task
    with (folder / "begun").open("a") as file:
        file.write(f"{number}\n")
    if (number == 2 and (folder / "begun").read_text().count("2") == 1) or number == 5:
        handler = signal.getsignal(signal.SIGUSR2)
        handler.submitits.__self__._start_time -= 10**6  # type: ignore[union-attr]
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(60)
    return number


def dies(task: int) -> int:
    """Never answers."""
    os._exit(3)


def sleeps(task: tuple[Path, float]) -> None:
    """Leaves its process's number in the folder."""
    folder, seconds = task
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)
