"""Batches of one fixed shape, so that what a classifier says of an input never depends on its company.

Matrix kernels choose their blocking by shape, so one input's outputs move by 1e-6 with the batch that it shares.
Here every batch has 16 rows, and its length is the input's own rounded up to 16; rows that are missing are filled.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from cod_runner.api import Classifier, Encoded, Input
from cod_runner.engine.cores import cores
from cod_runner.engine.rows import Row, unpadded
from cod_runner.engine.threads import threads
from cod_runner.engine.transfer import sent

Batch = TypeVar("Batch")
Answer = TypeVar("Answer")

ROWS = 16
LENGTH_MULTIPLE = 16


def fixed_batches(encoded: Sequence[Encoded]) -> Iterator[tuple[list[int], list[Encoded]]]:
    """(positions, exactly :data:`ROWS` rows), short inputs first; the last row repeats to fill a batch."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, one in enumerate(encoded):
        buckets[-(-max(1, len(one.ids)) // LENGTH_MULTIPLE)].append(position)
    for _, positions in sorted(buckets.items()):
        for start in range(0, len(positions), ROWS):
            real = positions[start : start + ROWS]
            rows = [encoded[position] for position in real]
            yield real, rows + [rows[-1]] * (ROWS - len(rows))


def each_row(
    classifier: Classifier,
    inputs: Sequence[Input],
    layers: Sequence[int],
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[list[tuple[int, Encoded, Row]]]:
    """One list a batch: (position in ``inputs``, encoding, what was said), float32, without dropout or autocast.

    Each batch is computed by one CPU thread: more of them would add sums in another order. Where only logits are
    wanted, several batches are under way at once, one on each core.
    """
    encoded = classifier.encode(inputs)
    classifier.eval()

    def said(batch: tuple[list[int], list[Encoded]]) -> list[tuple[int, Encoded, Row]]:
        positions, rows = batch
        torch.set_num_threads(1)  # holds for the thread that calls it
        with torch.no_grad():
            padded = {name: sent(value, device) for name, value in classifier.collate(rows, LENGTH_MULTIPLE).items()}
            outputs = classifier(padded, hidden=layers)
        real = rows[: len(positions)]
        return list(zip(positions, real, unpadded(outputs, [len(one.ids) for one in real]), strict=True))

    at_once = cores() if torch.device(device).type == "cpu" and not layers else 1
    done = 0
    with threads(1):
        for answered in _in_order(said, fixed_batches(encoded), at_once):
            done += len(answered)
            yield answered
            progress(done, len(inputs))


def _in_order(work: Callable[[Batch], Answer], batches: Iterator[Batch], at_once: int) -> Iterator[Answer]:
    """``work`` on each batch, results in the order of the batches, few of them waiting in memory."""
    if at_once == 1:
        yield from map(work, batches)
        return
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[Answer]] = deque()
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
