"""How far a classifier's confidence is from its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Naeini et al. (2015): over bins of equal width of the confidence, the mean of the difference between accuracy
    and confidence, weighted by the rows in each. A confidence on an edge falls into the lower bin. ``logits`` are
    ``[rows, classes]``, ``labels`` ``[rows]``."""
    import torch

    confidence, chosen = torch.softmax(logits.double(), -1).max(-1)
    right = (chosen == labels).double()
    place = (torch.ceil(confidence * bins) - 1).clamp(0, bins - 1).long()
    gap = torch.zeros(bins, dtype=torch.float64).index_add(0, place, right - confidence)
    return float(gap.abs().sum() / len(right))
