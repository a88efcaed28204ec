"""Losses on labels: hard, the teacher's soft ones, and random soft ones."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional

from cod_runner.api import Batch, Binding, BuildContext, Outputs
from codrun_losses.base import LogitLoss
from codrun_losses.plugin import HardOptions, RandomSoftOptions, SoftOptions


class Hard(LogitLoss):
    """CE(g_s(x), y), Algorithm 1, line 9. Rows without a label are left to the other losses."""

    needs_labels = True

    def __init__(self, options: HardOptions, context: BuildContext) -> None:
        super().__init__()
        self.label_smoothing = options.label_smoothing

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        return functional.cross_entropy(
            student.logits, batch.labels, reduction="none", label_smoothing=self.label_smoothing
        )


class Soft(LogitLoss):
    """-sum_c p_t(c) log p_s(c): the paper's ablation that drops the hard label."""

    def __init__(self, options: SoftOptions, context: BuildContext) -> None:
        super().__init__()
        self.temperature = options.temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        wanted = torch.softmax(teacher.logits / self.temperature, -1)
        return -(wanted * functional.log_softmax(student.logits / self.temperature, -1)).sum(-1)


class RandomSoft(LogitLoss):
    """Soft labels drawn once per example from a symmetric Dirichlet, by seed and example, never by order."""

    def __init__(self, options: RandomSoftOptions, context: BuildContext) -> None:
        super().__init__()
        self.concentration = options.concentration
        self._seed = 0
        self._drawn: dict[str, Tensor] = {}

    def bind(self, binding: Binding) -> None:
        self._seed = binding.seed

    def drawn(self, example: str, classes: int) -> Tensor:
        """Random probabilities of one example: ``[classes]``. A Dirichlet draw is a normalised gamma draw."""
        if example not in self._drawn:
            stream = random.Random(f"{self._seed}/{example}")
            gamma = torch.tensor([stream.gammavariate(self.concentration, 1.0) for _ in range(classes)])
            self._drawn[example] = gamma / gamma.sum()
        return self._drawn[example]

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        wanted = torch.stack([self.drawn(example, student.logits.shape[-1]) for example in batch.ids])
        wanted = wanted.to(student.logits.device, non_blocking=True)
        return -(wanted * functional.log_softmax(student.logits, -1)).sum(-1)
