"""Distillation of the teacher's logits (Hinton et al., 2015)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from cod_runner.api import Batch, BuildContext, Outputs
from codrun_losses.base import LogitLoss
from codrun_losses.plugin import KDOptions


class KD(LogitLoss):
    """KL(g_t(x) || g_s(x)) at temperature T, times T squared (Algorithm 1, line 10; the scripts' T is 2).

    T squared keeps the gradient's size: a logit's gradient shrinks with 1/T squared.
    """

    def __init__(self, options: KDOptions, context: BuildContext) -> None:
        super().__init__()
        self.temperature, self.divergence, self.top_k = options.temperature, options.divergence, options.top_k

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        ours, theirs = student.logits, teacher.logits
        if self.top_k is not None and self.top_k < theirs.shape[-1]:
            kept = theirs.topk(self.top_k, dim=-1).indices
            ours, theirs = ours.gather(-1, kept), theirs.gather(-1, kept)
        student_log = functional.log_softmax(ours / self.temperature, -1)
        teacher_log = functional.log_softmax(theirs / self.temperature, -1)
        if self.divergence == "forward":
            value = _kl(teacher_log, student_log)
        elif self.divergence == "reverse":
            value = _kl(student_log, teacher_log)
        else:
            middle = torch.logaddexp(student_log, teacher_log) - math.log(2)
            value = 0.5 * _kl(teacher_log, middle) + 0.5 * _kl(student_log, middle)
        return value * self.temperature**2


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) over the last dimension."""
    return functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
