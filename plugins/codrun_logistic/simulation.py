"""Theorem 1 over a grid of |w|, dimension and overshoot.

By symmetry w_t = (|w|, 0, ..., 0) covers every direction. Each repeat draws k points x ~ N(0, I) and labels from
sigmoid(w_t . x). ``plain`` fits all of them; ``cod`` fits the first k/2 and their CFEs: x moved along w_t to a chosen
distance past the boundary. Both arms fit by maximum likelihood without an intercept, as in the theorem.

The theorem leaves open what a CFE's hard label is, which decides the outcome:

- ``drawn``: from the teacher's probability at the CFE, so that both arms' labels come from one model, which the proof
  needs;
- ``teacher``: the class that the teacher predicts for it, which is what codrun trains on;
- ``flipped``: 1 - y, as in Algorithm 1, wrong wherever y was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor

from codrun_logistic.estimation import Errors, Interval, errors_of, interval, maximum_likelihood

PARTS = ("along", "orthogonal", "total")
Label = Literal["drawn", "teacher", "flipped"]
LABELS: tuple[Label, ...] = get_args(Label)


@dataclass(frozen=True)
class Point:
    """What was found at one point of the grid."""

    norm: float
    dimension: int
    overshoot: float
    label: Label
    plain: dict[str, Interval]
    """Mean squared error by part: along, orthogonal, total."""
    cod: dict[str, Interval]
    difference: dict[str, Interval]
    """cod minus plain, paired by repeat."""
    compared: int
    """Repeats in which both arms have a finite estimate; everything above is over these."""
    infinite_plain: int
    infinite_cod: int


def simulate(
    norms: Sequence[float], dimensions: Sequence[int], overshoots: Sequence[float], k: int, repeats: int, seed: int
) -> list[Point]:
    """Every point of the grid, with each kind of label; those with one (|w|, d) share their originals."""
    return [
        point
        for dimension in dimensions
        for norm in norms
        for point in _points(norm, dimension, overshoots, k, repeats, seed)
    ]


def _points(norm: float, dimension: int, overshoots: Sequence[float], k: int, repeats: int, seed: int) -> list[Point]:
    draw = torch.Generator().manual_seed(seed * 1_000_003 + dimension * 1_009 + round(norm * 100))
    truth = torch.zeros(dimension, dtype=torch.float64)
    truth[0] = norm
    vectors = torch.randn(repeats, k, dimension, generator=draw, dtype=torch.float64)
    chance = torch.rand(repeats, k, generator=draw, dtype=torch.float64)
    signs = torch.where(chance < torch.sigmoid(vectors @ truth), 1.0, -1.0).double()
    plain, finite_plain = maximum_likelihood(vectors, signs)
    cfe_chance = torch.rand(repeats, k // 2, generator=draw, dtype=torch.float64)
    points = []
    for label, overshoot in product(LABELS, overshoots):
        originals, their_signs = vectors[:, : k // 2], signs[:, : k // 2]
        moved, read_as = counterfactuals(originals, overshoot)
        cfe_signs = {
            "drawn": torch.where(cfe_chance < torch.sigmoid(moved @ truth), 1.0, -1.0).double(),
            "teacher": read_as,
            "flipped": -their_signs,
        }[label]
        cod, finite_cod = maximum_likelihood(torch.cat([originals, moved], 1), torch.cat([their_signs, cfe_signs], 1))
        both = finite_plain & finite_cod
        points.append(
            Point(
                norm,
                dimension,
                overshoot,
                label,
                **_compared(errors_of(plain[both], truth), errors_of(cod[both], truth)),
                compared=int(both.sum()),
                infinite_plain=int((~finite_plain).sum()),
                infinite_cod=int((~finite_cod).sum()),
            )
        )
    return points


def counterfactuals(vectors: Tensor, overshoot: float) -> tuple[Tensor, Tensor]:
    """CFEs of ``vectors [sets, n, d]`` and the teacher's class for them, 1 or -1, ``[sets, n]``.

    The first axis is w_t's direction. A CFE differs from its original only along it, and is ``overshoot`` past the
    boundary; exactly on the boundary its class is the one that its original does not have.
    """
    read_as = torch.where(vectors[..., 0] > 0, -1.0, 1.0).double()
    moved = vectors.clone()
    moved[..., 0] = overshoot * read_as
    return moved, read_as


def _compared(plain: Errors, cod: Errors) -> dict[str, dict[str, Interval]]:
    return {
        "plain": {part: interval(getattr(plain, part)) for part in PARTS},
        "cod": {part: interval(getattr(cod, part)) for part in PARTS},
        "difference": {part: interval(getattr(cod, part) - getattr(plain, part)) for part in PARTS},
    }
