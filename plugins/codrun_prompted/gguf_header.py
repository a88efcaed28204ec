"""How many numbers a GGUF file holds, read from its beginning, without its weights. Standard library only.

The layout is that of the format's versions 2 and 3: magic, version, how many tensors, how many settings; the settings;
of each tensor its name, its dimensions, its type and its offset.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a setting's value, by its type."""
STRING, ARRAY = 8, 9
MOST = 10_000_000
"""Settings, tensors, or entries of a list; a vocabulary has some 300,000."""


def numbers_of(file: Path) -> int | None:
    """In all of its tensors; None for a file that is something else, is damaged, or ends before its tensors' sizes."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _counted(_Reader(content))
    except (OSError, ValueError, struct.error, KeyError, RecursionError):  # the last of lists within lists
        return None


class _Reader:
    """Goes through a file's bytes."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._at = content, 0

    def number(self, kind: str) -> int:
        """One, little-endian, as :mod:`struct` names its kind."""
        (value,) = struct.unpack_from(f"<{kind}", self._content, self._at)
        self._at += struct.calcsize(kind)
        return int(value)

    def count(self) -> int:
        value = self.number("Q")
        if value > MOST:
            raise ValueError("more of them than any model has")
        return value

    def skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._content):
            raise ValueError("it ends too early")


def _counted(read: _Reader) -> int:
    if read.number("I") != int.from_bytes(b"GGUF", "little") or read.number("I") not in (2, 3):
        raise ValueError("not such a file")
    tensors, settings = read.count(), read.count()
    for _ in range(settings):
        read.skip(read.number("Q"))
        _skip_value(read, read.number("I"))
    total = 0
    for _ in range(tensors):
        read.skip(read.number("Q"))
        total += math.prod(read.count() for _ in range(read.number("I")))
        read.skip(4 + 8)
    return total


def _skip_value(read: _Reader, kind: int) -> None:
    if kind == STRING:
        read.skip(read.number("Q"))
    elif kind != ARRAY:
        read.skip(SIZES[kind])
    else:
        inside, entries = read.number("I"), read.count()
        if inside in SIZES:
            read.skip(SIZES[inside] * entries)
        else:
            for _ in range(entries):
                _skip_value(read, inside)
