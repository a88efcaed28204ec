"""Batches of one fixed shape, so that what a classifier says of an input never depends on its company.

Matrix kernels choose their blocking by shape, so one input's outputs move by 1e-6 with the batch that it shares.
Here every batch has 16 rows, and its length is the input's own rounded up to 16; rows that are missing are filled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch

from cod_runner.api import Classifier, Encoded, Input
from cod_runner.engine.rows import Row, unpadded
from cod_runner.engine.threads import threads

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


@torch.no_grad()
def each_row(
    classifier: Classifier,
    inputs: Sequence[Input],
    layers: Sequence[int],
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[list[tuple[int, Encoded, Row]]]:
    """One list a batch: (position in ``inputs``, encoding, what was said), float32, without dropout or autocast.

    On one CPU thread: more of them would add sums in another order.
    """
    encoded = classifier.encode(inputs)
    classifier.eval()
    done = 0
    for positions, rows in fixed_batches(encoded):
        with threads(1):
            batch = {name: value.to(device) for name, value in classifier.collate(rows, LENGTH_MULTIPLE).items()}
            outputs = classifier(batch, hidden=layers)
        real = rows[: len(positions)]
        said = unpadded(outputs, [len(one.ids) for one in real])
        yield list(zip(positions, real, said, strict=True))
        done += len(positions)
        progress(done, len(inputs))
