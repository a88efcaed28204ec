"""Losses by term and step, on the device and fetched now and then: nothing waits for it in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cod_runner.errors import CodrunError

STEPS_BETWEEN_LOOKS = 20
"""A transfer from a GPU costs about as much as a small step; on a CPU it costs nothing."""


@dataclass
class TrainingLog:
    """Each term's mean over the examples of each step, unweighted."""

    names: Sequence[str]
    device: str
    on_step: Callable[[int, Mapping[str, float]], None]
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """(step, value of each term), every step."""

    def __post_init__(self) -> None:
        self._sums = torch.zeros(STEPS_BETWEEN_LOOKS, len(self.names), device=self.device)
        self._row = 0

    def add(self, values: Tensor) -> None:
        """``[terms]`` sums over one batch's examples, without gradient."""
        self._sums[self._row] += values

    def step(self, examples: Sequence[int]) -> None:
        """A step is over; ``examples`` says for each term over how many it is averaged.

        Raises if a term of one of the last steps was not finite.
        """
        if len(set(examples)) == 1:
            self._sums[self._row] /= examples[0]
        else:
            self._sums[self._row] /= torch.tensor(examples, device=self.device)
        self._row += 1
        if self._row == STEPS_BETWEEN_LOOKS:
            self.look()

    def look(self) -> None:
        """Fetch the steps since the last look: the one place where training waits for the device."""
        first = len(self.curve) + 1
        for step, row in enumerate(self._sums[: self._row].tolist(), start=first):
            losses = dict(zip(self.names, row, strict=True))
            for name, value in losses.items():
                if not abs(value) < float("inf"):
                    raise CodrunError(
                        f"the loss term `{name}` became {value} in step {step}; try a smaller `train.lr`, "
                        "`train.clip: 1.0`, a smaller weight of the term, or `train.precision: fp32`"
                    )
            self.curve.append((step, losses))
            self.on_step(step, losses)
        self._sums.zero_()
        self._row = 0

    def pending(self) -> Tensor:
        """``[steps, terms]``, the means of the steps since the last look; between two steps."""
        return self._sums[: self._row]

    def restore(self, curve: Sequence[Sequence[float]], pending: Tensor) -> None:
        """Go on where another log was: its curve's values, step by step, and its ``pending``; nobody is told again."""
        self.curve = [(step, dict(zip(self.names, row, strict=True))) for step, row in enumerate(curve, start=1)]
        self._row = len(pending)
        self._sums[: self._row] = pending.to(self._sums.device)

    @property
    def last(self) -> dict[str, float]:
        """Each term's value in the last step."""
        return self.curve[-1][1] if self.curve else {}

    @property
    def mean(self) -> dict[str, float]:
        """Each term's mean over all steps."""
        return {name: sum(losses[name] for _, losses in self.curve) / len(self.curve) for name in self.names}
