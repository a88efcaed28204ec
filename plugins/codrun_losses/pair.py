"""Losses on pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cod_runner.api import Batch, BuildContext, Outputs
from codrun_losses.base import LogitLoss
from codrun_losses.plugin import PairOptions


class Pair(LogitLoss):
    """For an original x and its counterfactual x', the same value for both halves; 0 for a row without a partner.

    ``form: moved``, which is ours: how far the student's move inside the pair is from the teacher's,
    0.5 |(p_s(x) - p_s(x')) - (p_t(x) - p_t(x'))|^2.

    ``form: published``: the paper names a symmetric pair loss without a formula, its code (``ted_no_trainer.py``,
    ``--data_type pair_cfx``) adds CE(x') + lambda |CE(x) - CE(x')| to the loss of the originals, with lambda
    ``gap_weight``. There the gap is between the means of a batch and x' is labelled 1 - gold; here it is taken pair by
    pair, with the label of each half's row. Since `hard` reads both halves here, and only originals there, x' weighs
    three times as much as x in a method of both; there, as much.
    """

    def __init__(self, options: PairOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        self.needs_labels = options.form == "published"

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        partner = batch.partner.clamp(min=0)
        value = (
            self._published(student, batch, partner) if self.needs_labels else self._moved(student, teacher, partner)
        )
        return value * (batch.partner >= 0)

    def _moved(self, student: Outputs, teacher: Outputs, partner: Tensor) -> Tensor:
        ours = torch.softmax(student.logits / self.options.temperature, -1)
        theirs = torch.softmax(teacher.logits / self.options.temperature, -1)
        moved = (ours - ours[partner]) - (theirs - theirs[partner])
        return 0.5 * moved.square().sum(-1)

    def _published(self, student: Outputs, batch: Batch, partner: Tensor) -> Tensor:
        own = functional.cross_entropy(student.logits, batch.labels, reduction="none")
        other = own[partner]
        return torch.where(batch.is_counterfactual, own, other) + self.options.gap_weight * (own - other).abs()
