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
from torch import Tensor

from cod_runner.api import Classifier, Encoded, Input
from cod_runner.engine.device import autocast, resolve_precision, sent, threads
from cod_runner.engine.outputs import Row, unpadded
from cod_runner.machine import cores

Work = TypeVar("Work")
Done = TypeVar("Done")

ROWS = 16
LENGTH_MULTIPLE = 16
EVALUATION_BATCH = 32


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


def _in_order(work: Callable[[Work], Done], batches: Iterator[Work], at_once: int) -> Iterator[Done]:
    """``work`` on each batch, results in the order of the batches, few of them waiting in memory."""
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


@torch.no_grad()
def predict(
    classifier: Classifier,
    inputs: Sequence[Input],
    *,
    device: str,
    precision: str = "fp32",
    batch_size: int = EVALUATION_BATCH,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Logits ``[inputs, classes]``, float32, on the CPU, in the order of ``inputs``."""
    if not inputs:
        return torch.empty(0, classifier.shape.classes)
    classifier.eval()
    encoded = classifier.encode(inputs)
    order = sorted(range(len(encoded)), key=lambda position: (len(encoded[position].ids), position))
    parts = []
    for start in range(0, len(order), batch_size):
        rows = [encoded[position] for position in order[start : start + batch_size]]
        batch = {name: sent(value, device) for name, value in classifier.collate(rows).items()}
        with autocast(resolve_precision(precision, device), device):
            parts.append(classifier(batch).logits.float())
        progress(min(start + batch_size, len(order)), len(order))
    logits = torch.cat(parts).cpu()  # one transfer, after every batch was sent
    restored = torch.empty_like(logits)
    restored[torch.tensor(order)] = logits
    return restored
