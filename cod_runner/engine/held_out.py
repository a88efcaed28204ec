"""What a trained student is worth on rows that it was not trained on, and the temperature that calibrates it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cod_runner.engine.calibration import fitted_temperature

FEWEST_ROWS = 10
"""A temperature is not fitted on fewer."""
TEMPERATURES = torch.logspace(-2, 1, 301, dtype=torch.float64)
"""From which it is chosen: a student of a teacher that is hardly sure of anything has logits close together, and is
calibrated by a temperature far below 1."""


@dataclass(frozen=True)
class HeldOutScore:
    """A student on its held-out rows; None: there is no row, or it gave a logit that is not finite."""

    rows: int
    accuracy: float | None = None
    loss: float | None = None
    """Mean cross-entropy on gold labels in nats, at the temperature at which it is smallest: it compares how well
    students tell the classes apart, whatever the size of their logits."""
    temperature: float | None = None
    """Calibrates the student; see :func:`held_out_score`."""


def held_out_score(logits: Tensor, labels: Tensor) -> HeldOutScore:
    """Score ``logits`` ``[rows, classes]`` against gold ``labels`` ``[rows]``.

    The temperature (Guo et al. 2017, arXiv:1706.04599) is left out below :data:`FEWEST_ROWS` rows, and where every row
    is right, since the loss then falls with the temperature without end. The upper end of its range counts: it says
    that the student knows no more than chance.

    Measured on 72 students of Rotten Tomatoes and 96 of two moons, on 1,000 rows beside those that fitted it: at 5 rows
    the error stays as it was (.132, .102) and the cross-entropy of the text students rises from .770 to .849; at 10
    rows the error falls from .137 to .105 and from .089 to .085, at 200 from .117 to .040 and from .086 to .055. Where
    all of 10 rows are right it rises, from .141 to .377 and from .067 to .134; at the upper end it falls, from .165 to
    .056 and from .234 to .163.
    """
    rows = len(labels)
    if rows == 0 or not bool(torch.isfinite(logits).all()):
        return HeldOutScore(rows)
    fitted = fitted_temperature(logits, labels.tolist(), TEMPERATURES)
    accuracy = float((logits.argmax(1) == labels).double().mean())
    known = float(TEMPERATURES[0]) < fitted and accuracy < 1
    return HeldOutScore(
        rows=rows,
        accuracy=accuracy,
        loss=float(functional.cross_entropy(logits.double() / fitted, labels)),
        temperature=fitted if known and rows >= FEWEST_ROWS else None,
    )
