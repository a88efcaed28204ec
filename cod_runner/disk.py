"""What things take on a disk, in words, and whether they fit."""

from __future__ import annotations

import shutil
from pathlib import Path


def told_size(number: float) -> str:
    """Bytes in words: ``0.4 kB``, ``70.3 MB``, ``1.1 GB``."""
    for unit, size in (("kB", 1e3), ("MB", 1e6)):
        if number < 1e3 * size * 0.99995:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e9:,.1f} GB"


def free_bytes(folder: Path) -> int | None:
    """Of the disk on which ``folder`` lies, or will lie once it is made; None where the system does not say."""
    there = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir()), Path("/"))
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def warning_of_a_full_disk(students: int, each: int, folder: Path) -> str | None:
    """What to say before anything is trained where ``students`` of ``each`` bytes will not fit on the disk of
    ``folder``; None where they will."""
    free = free_bytes(folder)
    if free is None or students * each <= free:
        return None
    return (
        f"{students:,} students of {told_size(each)} each will not fit on the disk of {folder}, which has "
        f"{told_size(free)} free: the run would end when it is full, and go on when there is room; --out names "
        "a folder on another disk"
    )
