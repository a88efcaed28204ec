"""Sums in one order: an input's outputs never depend on its company, nor on the machine's cores.

Matrix kernels choose their blocking by shape, so an input's outputs move by 1e-6 with the batch that it shares. Here
every batch has 16 rows, and their length is the input's own rounded up to a multiple of 16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

ROWS = 16
LENGTH_MULTIPLE = 16


class FixedBatch(NamedTuple):
    """One batch, its inputs named by their positions among all that were given."""

    positions: list[int]
    """The inputs, each once."""
    rows: list[int]
    """Exactly :data:`ROWS` inputs: the same, the last one repeated to fill the batch."""
    length: int
    """Tokens that every row is padded to."""


def fixed_batches(lengths: Sequence[int]) -> Iterator[FixedBatch]:
    """Batches of inputs that have so many tokens, short inputs first."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, length in enumerate(lengths):
        buckets[-(-max(1, length) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE].append(position)
    for length, positions in sorted(buckets.items()):
        for start in range(0, len(positions), ROWS):
            real = positions[start : start + ROWS]
            yield FixedBatch(real, real + real[-1:] * (ROWS - len(real)), length)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes with one CPU thread, and after it with as many as before. Imports torch when called."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
