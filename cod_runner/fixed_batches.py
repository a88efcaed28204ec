"""Sums in one order: an input's outputs never depend on its company, nor on the machine's cores.

Matrix kernels choose their blocking by shape, so an input's outputs move by 1e-6 with the batch that it shares. Here
every batch has 16 rows, and their length is the input's own rounded up to a multiple of 16.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from cod_runner.machine import cores

Work = TypeVar("Work")
Done = TypeVar("Done")

EVALUATION_BATCH = 32
"""Rows of a student's evaluation, whose batches are not of a fixed shape."""
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


def in_order(work: Callable[[Work], Done], batches: Iterator[Work], at_once: int | None = None) -> Iterator[Done]:
    """``work`` on each batch, results in the order of the batches, few of them waiting in memory.

    ``at_once`` of them are under way at a time, each in a thread of its own; by default one per core.
    """
    at_once = cores() if at_once is None else at_once
    if at_once == 1:
        yield from map(work, batches)
        return
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[Done]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > 2 * at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


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
