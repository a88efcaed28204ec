"""Layer-wise distillation of hidden states (Algorithm 1, line 11)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, ModelShape, Needs, Outputs
from codrun_losses.layers import mapped_layers, of_lwd
from codrun_losses.plugin import LWDOptions


class LWD(nn.Module):
    """Mean squared error between teacher hidden states and linearly projected student ones.

    Averaged over real tokens, over the teacher's width, and over layers; padding never counts. The projections
    (student width to teacher width, with bias) train with the student and are thrown away after it.
    """

    def __init__(self, options: LWDOptions, context: BuildContext) -> None:
        super().__init__()
        self.options, self.pool = options, options.pool
        self.aligned = options.pool == "none"
        self.learning_rate = options.learning_rate
        self.pairs: list[tuple[int, int]] = []
        self.projections = nn.ModuleList()

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return of_lwd(self.options, teacher, student)

    def bind(self, binding: Binding) -> None:
        self.pairs = mapped_layers(self.options.layers, binding.teacher, binding.student)
        width, wanted = binding.student.width, binding.teacher.width
        self.projections = nn.ModuleList(nn.Linear(width, wanted) for _ in self.pairs)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        values = []
        for (ours, theirs), projection in zip(self.pairs, self.projections, strict=True):
            if self.pool == "none":
                projected, wanted = projection(student.hidden[ours]), teacher.hidden[theirs]
                if projected.shape != wanted.shape:
                    raise CodrunError(
                        "lwd met texts of unequal length on the two sides; give it `pool: mean` or `pool: cls`"
                    )
                values.append(mean_of_real((projected - wanted).square().mean(-1), student.mask))
            else:
                difference = projection(pooled(student, ours, self.pool)) - pooled(teacher, theirs, self.pool)
                values.append(difference.square().mean(-1))
        return torch.stack(values).mean(0)


def mean_of_real(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the real tokens of each row, wherever padding stands: ``[batch, tokens, ...]`` to ``[batch, ...]``."""
    if mask is None:
        return values.mean(1)
    real = mask.reshape(*mask.shape, *[1] * (values.dim() - 2)).bool()
    return values.masked_fill(~real, 0.0).sum(1) / real.sum(1)


def pooled(outputs: Outputs, layer: int, pool: str) -> Tensor:
    """One vector a row: the mean over real tokens, or what the classification head reads. ``[batch, width]``."""
    states = outputs.hidden[layer]
    if pool == "mean":
        return mean_of_real(states, outputs.mask)
    if outputs.pooled_at is None:
        raise CodrunError("lwd's `pool: cls` needs a model that says which token its head reads; take `pool: mean`")
    return states[torch.arange(len(states), device=states.device), outputs.pooled_at]
