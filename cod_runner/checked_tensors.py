"""Tensors in a safetensors file that says, by a checksum, whether they are still as they were written."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor


def save_checked(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write CPU tensors and their CRC-32; raises what safetensors does."""
    save_file(dict(tensors), path, metadata={"crc": str(_checksum(tensors))})


def load_checked(path: Path, *, check: bool = True) -> dict[str, Tensor]:
    """The tensors, mapped into memory; without ``check`` they are believed, and so are those of an earlier version,
    which have no checksum.

    Raises :class:`OSError`, :class:`safetensors.SafetensorError`, or :class:`ValueError` where they have changed.
    """
    tensors: dict[str, Tensor] = load_file(path)
    if check:
        with safe_open(path, framework="pt") as file:
            wanted = (file.metadata() or {}).get("crc")
        if wanted is not None and wanted != str(_checksum(tensors)):
            raise ValueError("its content was changed")
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for name in sorted(tensors):
        numbers = tensors[name].contiguous().flatten().view(torch.uint8).numpy()
        crc = zlib.crc32(numbers.data, zlib.crc32(name.encode(), crc))
    return crc
