"""Batches of one fixed shape, so that what a classifier says of an input never depends on its company.

Matrix kernels choose their blocking by shape, so one input's outputs move by 1e-6 with the batch that it shares.
Here every batch has 16 rows, and its length is the input's own rounded up to 16; rows that are missing are filled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch

from cod_runner.api import Classifier, Encoded, Input, Outputs
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
def each_output(
    classifier: Classifier,
    inputs: Sequence[Input],
    layers: Sequence[int],
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[list[int], list[Encoded], Outputs]]:
    """(positions in ``inputs``, their encodings, outputs of these rows alone) in float32, on one CPU thread."""
    encoded = classifier.encode(inputs)
    classifier.eval()
    done = 0
    with threads(1):
        for positions, rows in fixed_batches(encoded):
            batch = {name: value.to(device) for name, value in classifier.collate(rows, LENGTH_MULTIPLE).items()}
            outputs = classifier(batch, hidden=layers)
            count = len(positions)
            yield (
                positions,
                rows[:count],
                Outputs(
                    logits=outputs.logits[:count].float(),
                    hidden={layer: states[:count].float() for layer, states in outputs.hidden.items()},
                    mask=None if outputs.mask is None else outputs.mask[:count],
                    pooled_at=None if outputs.pooled_at is None else outputs.pooled_at[:count],
                ),
            )
            done += count
            progress(done, len(inputs))
