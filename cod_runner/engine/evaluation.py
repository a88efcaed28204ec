"""Evaluation: a classifier's logits on many inputs, in batches sorted by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cod_runner.api import Classifier, Input
from cod_runner.engine.precision import autocast, resolve_precision
from cod_runner.engine.transfer import sent

EVALUATION_BATCH = 32


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
