"""What lets a command answer sooner, as a process of its own."""

from __future__ import annotations

import gc
import os
from typing import Any

OBJECTS_BEFORE_COLLECTING = 400_000
"""More than a light command makes: those that load torch soon make as many."""


def start_sooner() -> None:
    """For a process that runs one command: leave out what takes time in every start and helps in none."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it reads what each installed package declares
    put_off_collecting()


def put_off_collecting() -> None:
    """Look for unreachable objects only once :data:`OBJECTS_BEFORE_COLLECTING` are there, and from then on as always:
    what is made meanwhile, classes and functions for the most part, stays."""
    usual = gc.get_threshold()

    def as_always(phase: str, about: dict[str, Any]) -> None:
        gc.callbacks.remove(as_always)
        gc.set_threshold(*usual)

    gc.callbacks.append(as_always)
    gc.set_threshold(OBJECTS_BEFORE_COLLECTING, *usual[1:])
