"""The contracts of metrics and of measures of counterfactuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from cod_runner.api.inputs import Input


@dataclass(frozen=True)
class Predictions:
    """A student's and its teacher's word on the evaluation split."""

    student_logits: Tensor
    """``[examples, classes]``."""
    teacher_logits: Tensor
    labels: Tensor
    """``[examples]`` gold class ids."""


class Metric(Protocol):
    """Kind ``metric``; its :class:`Component` says whether higher is better."""

    def __call__(self, predictions: Predictions) -> float:
        """The number of one student, over all rows."""
        ...


class CfeMeasure(Protocol):
    """Kind ``cfe_measure``: a row of the quality table of the counterfactuals, for ``codrun cfes --measure``.

    ``--measure NAME=VALUE`` gives VALUE to the one option without a default, if there is exactly one.
    """

    title: str
    """What the row is called, its unit or range included."""

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """One value per (original, changed) pair, in order; None where there is nothing to measure."""
        ...
