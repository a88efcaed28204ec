"""Fine-tunes a teacher on gold labels with the loop that trains students."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cod_runner.api import Batch, Binding, Classifier, Example, FinetuneSettings, Outputs
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.data_parallel import Share
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.training import train_student


class GoldLabels(nn.Module):
    """Cross-entropy on hard labels, the one loss that the engine itself needs."""

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""

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
    resuming: Resumption | None = None,
    share: Share | None = None,
) -> dict[str, Any]:
    """Train ``classifier`` in place; returns a JSON-able record of it.

    The record: ``rows``, ``steps``, ``precision``, ``trained_parameters``, ``loss`` (of the last step) and
    ``mean_loss``. Threads are the caller's to fix: they decide the last bits. ``settings.rows`` is not read here.
    With ``resuming`` an interrupted fine-tuning continues, and on a CPU ends with the same bits. ``share`` is this
    process's, where several fine-tune the teacher.
    """
    result = train_student(
        classifier,
        examples,
        [WeightedTerm("cross_entropy", GoldLabels(), 1.0)],
        None,
        settings,
        seed=settings.seed,
        device=device,
        progress=progress,
        on_step=on_step,
        resuming=resuming,
        share=share,
    )
    return {
        "rows": len(examples),
        "steps": result.steps,
        "precision": result.precision,
        "trained_parameters": result.trained_parameters,
        "loss": result.losses["cross_entropy"],
        "mean_loss": result.mean_losses["cross_entropy"],
    }
