"""Fine-tunes a teacher on gold labels with the loop that trains students."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, Classifier, Example, FinetuneSettings, ModelShape, Needs, Outputs
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.training import TrainingResult, WeightedTerm, train_student


class GoldLabels(nn.Module):
    """Cross-entropy on hard labels, the one loss that the engine itself needs."""

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs()

    def bind(self, binding: Binding) -> None:
        return None

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        return nn.functional.cross_entropy(student.logits, batch.labels, reduction="none")


def finetune_teacher(
    classifier: Classifier,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    *,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, losses: None,
) -> TrainingResult:
    """Train ``classifier`` in place. Threads and precision are the caller's to fix: they decide the last bits."""
    if settings.gradient_checkpointing:
        enable = getattr(classifier, "gradient_checkpointing_enable", None)
        if enable is not None:
            enable()
    torch.manual_seed(derived_seed(settings.seed, "teacher"))
    terms = [WeightedTerm("hard", GoldLabels(), 1.0)]
    return train_student(
        classifier,
        examples,
        terms,
        None,
        settings,
        seed=settings.seed,
        device=device,
        progress=progress,
        on_step=on_step,
    )
