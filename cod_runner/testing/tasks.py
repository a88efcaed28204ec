"""Work and tasks that can be pickled, to try executors on. Imports little: a worker's start is all that it costs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

HELD_SECONDS = 0.02
"""How long a call takes at least, so that two threads of one process meet in it."""
_AT_WORK = threading.Lock()
"""Held while this process works: the work of a run refuses a second thread likewise."""


class RefusedTask(Exception):
    """What :func:`halved` raises; not one that an executor could know."""


class CalledAtOnce(Exception):
    """Two threads of one process called :func:`halved` at once."""


def halved(number: int) -> tuple[int, int]:
    """(the task, its half); an odd number is refused."""
    if not _AT_WORK.acquire(blocking=False):
        raise CalledAtOnce
    try:
        time.sleep(HELD_SECONDS)
        if number % 2:
            raise RefusedTask(f"{number} is odd")
        return number, number // 2
    finally:
        _AT_WORK.release()


def waits_for_the_first(task: tuple[Path, float]) -> bool:
    """Whether the results of earlier calls were given before this one ended.

    A task is a folder, and how many seconds to wait. The first call, whatever its task, only leaves a file; the others
    wait until who takes the results leaves the file ``taken``. Where the folder cannot be reached, nothing is waited
    for.
    """
    folder, patience = task
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        until = time.monotonic() + patience
        while not (folder / "taken").exists():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
    except OSError:
        pass
    return True
