"""Inference: batch-invariant where the outputs are stored or decide a verdict, fast where a student is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from cod_runner.api import Classifier, Encoded, Input
from cod_runner.engine.device import autocast, resolve_precision, sent, threads
from cod_runner.engine.outputs import Row, checked_encodings, checked_outputs, unpadded
from cod_runner.fixed_batches import EVALUATION_BATCH, FixedBatch, fixed_batches, in_order


def each_row(
    classifier: Classifier,
    inputs: Sequence[Input],
    layers: Sequence[int],
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    at_once: int | None = None,
) -> Iterator[list[tuple[int, Encoded, Row]]]:
    """One list per batch: (position in ``inputs``, encoding, outputs), float32, without dropout or autocast.

    Batch-invariant: batches have a fixed shape, and each is computed by one CPU thread, since more of them would add
    sums in another order. Where only logits are wanted, several batches are under way at once: ``at_once``, or one per
    core.
    """
    encoded = checked_encodings(classifier.encode(inputs), classifier, len(inputs))
    classifier.eval()

    def computed(batch: FixedBatch) -> list[tuple[int, Encoded, Row]]:
        torch.set_num_threads(1)  # holds for the thread that calls it
        collated = classifier.collate([encoded[row] for row in batch.rows], batch.length)
        with torch.no_grad():
            outputs = classifier({name: sent(value, device) for name, value in collated.items()}, hidden=layers)
        checked_outputs(outputs, classifier, len(batch.rows), layers)
        real = [encoded[position] for position in batch.positions]
        return list(zip(batch.positions, real, unpadded(outputs, [len(one.ids) for one in real]), strict=True))

    if torch.device(device).type != "cpu" or layers:
        at_once = 1
    done = 0
    with threads(1):
        for rows in in_order(computed, fixed_batches([len(one.ids) for one in encoded]), at_once):
            done += len(rows)
            yield rows
            progress(done, len(inputs))


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
    encoded = checked_encodings(classifier.encode(inputs), classifier, len(inputs))
    order = sorted(range(len(encoded)), key=lambda position: (len(encoded[position].ids), position))
    parts = []
    for start in range(0, len(order), batch_size):
        rows = [encoded[position] for position in order[start : start + batch_size]]
        batch = {name: sent(value, device) for name, value in classifier.collate(rows).items()}
        with autocast(resolve_precision(precision, device), device):
            outputs = checked_outputs(classifier(batch), classifier, len(rows), ())
            parts.append(outputs.logits.float())
        progress(min(start + batch_size, len(order)), len(order))
    logits = torch.cat(parts).cpu()  # one transfer, after every batch was sent
    restored = torch.empty_like(logits)
    restored[torch.tensor(order)] = logits
    return restored
