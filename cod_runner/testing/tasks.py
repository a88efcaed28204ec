"""Work and tasks that can be pickled, to try executors on. Imports nothing: a worker's start is all that it costs."""

from __future__ import annotations


class RefusedTask(Exception):
    """What :func:`halved` raises; not one that an executor could know."""


def halved(number: int) -> tuple[int, int]:
    """(the task, its half); an odd number is refused."""
    if number % 2:
        raise RefusedTask(f"{number} is odd")
    return number, number // 2
