"""How many numbers a checkpoint's weights hold, read from the headers of its safetensors files, without the weights.

A safetensors file begins with 8 bytes, the length of its header (little-endian), and the header, JSON: by name each
tensor's ``dtype`` and ``shape``. Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

LONGEST_HEADER = 25_000_000
"""Bytes; one of a large model takes some 100,000."""
MOST_FILES = 1_000
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def numbers_by_name(folder: Path) -> dict[str, int] | None:
    """Each weight's name and how many numbers it has; integers (ids, masks) are left out.

    None where the folder has no safetensors, where one of its files is missing, or where one is damaged.
    """
    files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else _indexed(folder)
    found: dict[str, int] = {}
    for file in files:
        try:
            found |= _of_file(file)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
    return found or None


def _indexed(folder: Path) -> list[Path]:
    """The files of a checkpoint in several; none outside the folder."""
    try:
        named = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        files = sorted({str(name) for name in named})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []
    return [folder / name for name in files] if all(Path(name).name == name for name in files[:MOST_FILES]) else []


def _of_file(file: Path) -> dict[str, int]:
    with file.open("rb") as read:
        length = int.from_bytes(read.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            raise ValueError("its header has no length that a header has")
        header: dict[str, Any] = json.loads(read.read(length))
    return {
        name: math.prod(map(int, tensor["shape"]))
        for name, tensor in header.items()
        if name != "__metadata__" and str(tensor["dtype"]).startswith(("F", "BF"))
    }
