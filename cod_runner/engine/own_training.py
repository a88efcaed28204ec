"""Students that train themselves, in place of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from cod_runner.api import Classifier, Example, TrainsItself
from cod_runner.engine.device import deterministic
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.training import TrainingResult
from cod_runner.errors import CodrunError


class SelfTrained(Classifier, TrainsItself, Protocol):
    """A student that trains itself."""


def let_train(student: SelfTrained, examples: Sequence[Example], *, seed: int, device: str) -> TrainingResult:
    """Have the student learn from ``examples``, which all have a label; the caller fixes the number of threads.

    Raises :class:`CodrunError` where weights became infinite or NaN.
    """
    student.to(device)
    with deterministic(device):
        own = student.fit(examples, derived_seed(seed, "own training"))
    student.eval()
    numbers = list(student.parameters())
    if not all(bool(torch.isfinite(parameter).all()) for parameter in numbers):
        raise CodrunError(f"weights became infinite or NaN in the student's own {own.steps} steps; try a smaller `lr`")
    return TrainingResult(
        steps=own.steps,
        losses=dict(own.losses),
        mean_losses=dict(own.losses),
        curve=[],
        precision="fp32",
        trained_parameters=sum(parameter.numel() for parameter in numbers if parameter.requires_grad),
    )
