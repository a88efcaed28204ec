"""What every contender is: something that trains the student of the work and is timed step by step."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.work import KD_WEIGHT, TEMPERATURE, Method, Work


@dataclass
class Trained:
    """One training of a contender. Seconds are the process's own: with one thread they are those of the clock on an
    idle machine, and a busy one, which takes turns between processes, adds little to them."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    """Of the student after the last step, by the names of transformers; none where nothing was learnt."""
    steps: list[float] = field(default_factory=list)
    """Of each step."""
    once: float = 0.0
    """Before and after the steps, and of the teacher where it is asked once."""
    _last: float = 0.0

    def start(self) -> None:
        """Steps begin."""
        self._last = time.process_time()

    def tick(self) -> None:
        """A step is over."""
        now = time.process_time()
        self.steps.append(now - self._last)
        self._last = now


class Contender(Protocol):
    """One way to train the student."""

    name: str
    methods: tuple[str, ...]
    """Those that it can compute as the others do."""
    learns: bool
    """Whether it must end with the weights that all others end with."""

    def train(self, work: Work, method: Method) -> Trained:
        """Train a fresh student over the steps of ``work``."""


def autocast(precision: str) -> AbstractContextManager[Any]:
    """As in a plain loop: around the models' forward passes."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def inputs_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch without its labels."""
    return {name: value for name, value in batch.items() if name != "labels"}


def kd_loss(logits: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus 20 times KL at temperature 2, times its square, as the published scripts have it."""
    soft = functional.kl_div(
        functional.log_softmax(logits / TEMPERATURE, -1),
        functional.softmax(teacher / TEMPERATURE, -1),
        reduction="batchmean",
    )
    return functional.cross_entropy(logits, labels) + KD_WEIGHT * TEMPERATURE**2 * soft


def lwd_loss(projected: list[Tensor], teacher: list[Tensor], mask: Tensor) -> Tensor:
    """Mean squared error of the layers, over the real tokens of each text, then over texts and layers."""
    real = mask.float()
    errors = [(ours - theirs).square().mean(-1) for ours, theirs in zip(projected, teacher, strict=True)]
    return torch.stack([((error * real).sum(1) / real.sum(1)).mean() for error in errors]).mean()


class Autocast(nn.Module):
    """A model of transformers whose forward pass runs in a precision, for libraries that know none; its logits are
    float32 and pass through a module of that name, for libraries that hook modules."""

    def __init__(self, model: Any, precision: str) -> None:
        super().__init__()
        self.model, self.precision, self.logits = model, precision, nn.Identity()
        self.train(model.training)  # a wrapper begins in training mode, and TextBrewer puts back what it found

    def forward(self, **inputs: Tensor) -> Any:
        """As the model's."""
        with autocast(self.precision):
            outputs = self.model(**inputs)
        outputs.logits = self.logits(outputs.logits.float())
        return outputs
