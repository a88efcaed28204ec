"""A symmetric loss on pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from cod_runner.api import Batch, BuildContext, Outputs
from codrun_losses.base import LogitLoss
from codrun_losses.plugin import PairOptions


class Pair(LogitLoss):
    """How far the student's move inside a pair is from the teacher's: for an original x and its counterfactual x',
    0.5 |(p_s(x) - p_s(x')) - (p_t(x) - p_t(x'))|^2, the same for both halves; 0 for an example without a partner.

    The paper names a symmetric pair loss and prints no formula; this reading of it is ours.
    """

    def __init__(self, options: PairOptions, context: BuildContext) -> None:
        super().__init__()
        self.temperature = options.temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        has_partner = batch.partner >= 0
        partner = batch.partner.clamp(min=0)
        ours = torch.softmax(student.logits / self.temperature, -1)
        theirs = torch.softmax(teacher.logits / self.temperature, -1)
        moved = (ours - ours[partner]) - (theirs - theirs[partner])
        return 0.5 * moved.square().sum(-1) * has_partner
