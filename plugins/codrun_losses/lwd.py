"""Layer-wise distillation of hidden states (Algorithm 1, line 11)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, ModelShape, Needs, Outputs
from codrun_losses.plugin import LWDOptions


class LWD(nn.Module):
    """Mean squared error between teacher hidden states and linearly projected student ones.

    Averaged over real tokens, over the teacher's width, and over layers; padding never counts. The projections
    (student width to teacher width, with bias) train with the student and are thrown away after it.
    """

    def __init__(self, options: LWDOptions, context: BuildContext) -> None:
        super().__init__()
        self.layers, self.pool = options.layers, options.pool
        self.aligned = options.pool == "none"
        self.learning_rate = options.learning_rate
        self.pairs: list[tuple[int, int]] = []
        self.projections = nn.ModuleList()

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        pairs = mapped_layers(self.layers, teacher, student)
        return Needs(teacher=tuple(theirs for _, theirs in pairs), student=tuple(ours for ours, _ in pairs))

    def bind(self, binding: Binding) -> None:
        self.pairs = mapped_layers(self.layers, binding.teacher, binding.student)
        width, wanted = binding.student.width, binding.teacher.width
        self.projections = nn.ModuleList(nn.Linear(width, wanted) for _ in self.pairs)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        values = []
        for (ours, theirs), projection in zip(self.pairs, self.projections, strict=True):
            if self.pool == "none":
                kept = real_tokens(student, ours), real_tokens(teacher, theirs)
                values.append(torch.stack([_mse(projection(a), b) for a, b in zip(*kept, strict=True)]))
            else:
                difference = projection(pooled(student, ours, self.pool)) - pooled(teacher, theirs, self.pool)
                values.append(difference.square().mean(-1))
        return torch.stack(values).mean(0)


def mapped_layers(
    layers: str | list[tuple[int, int]], teacher: ModelShape, student: ModelShape
) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs. ``uniform`` spreads the teacher's layers evenly over the student's:
    student layer i goes with teacher layer round(i x teacher layers / student layers), so 6 and 12 give i and 2i."""
    if isinstance(layers, str):
        ratio = teacher.layers / student.layers
        return [(layer, max(1, round(layer * ratio))) for layer in range(1, student.layers + 1)]
    for ours, theirs in layers:
        if not (0 <= ours <= student.layers and 0 <= theirs <= teacher.layers):
            raise CodrunError(
                f"`layers` names the pair [{ours}, {theirs}] (student, teacher), but the student has layers 0 to "
                f"{student.layers} and the teacher 0 to {teacher.layers}"
            )
    if not layers:
        raise CodrunError("`layers` is empty; name at least one pair [student layer, teacher layer], or `uniform`")
    return [(ours, theirs) for ours, theirs in layers]


def real_tokens(outputs: Outputs, layer: int) -> list[Tensor]:
    """Hidden states of each row's real tokens, wherever its padding stands: ``[rows][tokens, width]``."""
    states = outputs.hidden[layer]
    if outputs.mask is None:
        return list(states)
    return [row[mask.bool()] for row, mask in zip(states, outputs.mask, strict=True)]


def pooled(outputs: Outputs, layer: int, pool: str) -> Tensor:
    """One vector a row: the mean over real tokens, or what the classification head reads. ``[batch, width]``."""
    states = outputs.hidden[layer]
    if pool == "cls":
        assert outputs.pooled_at is not None
        return states[torch.arange(len(states), device=states.device), outputs.pooled_at]
    return torch.stack([row.mean(0) for row in real_tokens(outputs, layer)])


def _mse(ours: Tensor, theirs: Tensor) -> Tensor:
    if ours.shape != theirs.shape:
        raise CodrunError("lwd met texts of unequal length on the two sides; give it `pool: mean` or `pool: cls`")
    return (ours - theirs).square().mean()
