"""Layer-wise distillation of hidden states (Algorithm 1, line 11)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, Outputs, masked_mean, pooled
from codrun_losses.plugin import LWDOptions


class LWD(nn.Module):
    """Mean squared error between teacher hidden states and linearly projected student ones.

    Averaged over real tokens, over the teacher's width, and over layers; padding never counts. With ``positions:
    changed`` only tokens count that the other half of the pair does not have, wherever it stands there; all of them
    where an example has no partner, or nothing of its own (it lost a word). The projections
    (student width to teacher width, with bias) train with the student and are thrown away after it.
    """

    alignment_hint = "give it `pool: mean` or `pool: cls`, which compare one vector per text"

    def __init__(self, options: LWDOptions, context: BuildContext) -> None:
        super().__init__()
        self.options, self.pool = options, options.pool
        self.aligned = options.pool == "none"
        self.learning_rate = options.learning_rate
        self.mapping: list[tuple[int, int]] = []
        self.projections = nn.ModuleList()

    def bind(self, binding: Binding) -> None:
        self.mapping = self.options.mapping(binding.teacher, binding.student)
        width, wanted = binding.student.width, binding.teacher.width
        self.projections = nn.ModuleList(nn.Linear(width, wanted) for _ in self.mapping)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        values = []
        counted = student.mask if self.options.positions == "all" else changed_tokens(batch, student.mask)
        for (ours, theirs), projection in zip(self.mapping, self.projections, strict=True):
            if self.pool == "none":
                projected, wanted = projection(student.hidden[ours]), teacher.hidden[theirs]
                if projected.shape != wanted.shape:
                    raise CodrunError(
                        "lwd met texts of unequal length on the two sides; give it `pool: mean` or `pool: cls`"
                    )
                values.append(masked_mean((projected - wanted).square().mean(-1), counted))
            else:
                difference = projection(self._pooled(student, ours)) - self._pooled(teacher, theirs)
                values.append(difference.square().mean(-1))
        return torch.stack(values).mean(0)

    def _pooled(self, outputs: Outputs, layer: int) -> Tensor:
        return pooled(outputs.hidden[layer], outputs.mask, outputs.pooled_at, self.pool)


def changed_tokens(batch: Batch, mask: Tensor | None) -> Tensor:
    """``[batch, tokens]``: the tokens that an example's partner does not have; see :class:`LWD`."""
    ids = batch.inputs.get("input_ids")
    if ids is None or mask is None:
        raise CodrunError("lwd's `positions: changed` needs a student that reads token ids; take `positions: all`")
    partner = batch.partner.clamp(min=0)
    shared = ((ids[:, :, None] == ids[partner][:, None, :]) & mask[partner][:, None, :]).any(-1)
    changed = mask & ~shared
    has_some = changed.any(1) & (batch.partner >= 0)
    return torch.where(has_some[:, None], changed, mask)
