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


def dies(task: int) -> int:
    """Never answers."""
    os._exit(3)


def sleeps(task: tuple[Path, float]) -> None:
    """Leaves its process's number in the folder."""
    folder, seconds = task
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)
