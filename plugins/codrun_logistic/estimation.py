"""Maximum-likelihood logistic regression over many training sets at once, and the errors of its estimates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

ITERATIONS = 60
CONVERGED = 1e-6
"""An estimate is finite once its Newton step is shorter than this. On separable data the steps never get so short."""


def maximum_likelihood(vectors: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """argmax over w of sum_i log sigmoid(s_i w.x_i), by Newton's method with halved steps.

    ``vectors`` is ``[sets, k, d]``, ``signs`` (1 or -1) ``[sets, k]``, float64. Returns (w ``[sets, d]``, finite
    ``[sets]`` bool): a set that some hyperplane separates has no finite maximum.
    """
    signed = vectors * signs[..., None]
    weights = vectors.new_zeros(len(vectors), vectors.shape[-1])
    finite = torch.zeros(len(vectors), dtype=torch.bool)
    small = 1e-12 * torch.eye(vectors.shape[-1], dtype=vectors.dtype)
    for _ in range(ITERATIONS):
        under_way = (~finite).nonzero()[:, 0]
        if not len(under_way):
            break
        some, at = signed[under_way], weights[under_way]
        wrong = torch.sigmoid(-_margins(some, at))
        gradient = (some * wrong[..., None]).sum(1)
        hessian = (some * (wrong * (1 - wrong))[..., None]).transpose(1, 2) @ some
        step = _shortened(some, at, torch.linalg.solve(hessian + small, gradient))
        weights[under_way] = at + step
        finite[under_way] = step.norm(dim=1) < CONVERGED
    return weights, finite


def _margins(signed: Tensor, weights: Tensor) -> Tensor:
    return (signed @ weights[..., None])[..., 0]


def _shortened(signed: Tensor, weights: Tensor, step: Tensor) -> Tensor:
    """Halve each set's step until its likelihood does not fall."""
    before = functional.logsigmoid(_margins(signed, weights)).sum(1)
    for _ in range(20):
        after = functional.logsigmoid(_margins(signed, weights + step)).sum(1)
        worse = after < before - 1e-9
        if not bool(worse.any()):
            break
        step = torch.where(worse[:, None], step / 2, step)
    return step


@dataclass(frozen=True)
class Errors:
    """Squared estimation errors of each training set, ``[sets]``."""

    along: Tensor
    """((w_s - w_t) . u)^2 for the unit vector u of w_t: how steep."""
    orthogonal: Tensor
    """The rest: the direction of the boundary."""

    @property
    def total(self) -> Tensor:
        """||w_s - w_t||^2."""
        return self.along + self.orthogonal


def errors_of(estimates: Tensor, truth: Tensor) -> Errors:
    """``estimates [sets, d]`` against ``truth [d]``."""
    off = estimates - truth
    along = off @ (truth / truth.norm())
    return Errors(along.square(), (off.square().sum(1) - along.square()).clamp(min=0))


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% normal interval."""

    mean: float
    half: float

    @property
    def verdict(self) -> str:
        """Of a difference: falls, rises, or undecided if the interval contains 0."""
        if self.mean + self.half < 0:
            return "falls"
        return "rises" if self.mean - self.half > 0 else "undecided"

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.half:.2g}"


def interval(values: Tensor) -> Interval:
    """Of independent ``values [n]``; infinitely wide for fewer than two."""
    if len(values) < 2:
        return Interval(values.mean().item() if len(values) else float("nan"), float("inf"))
    return Interval(values.mean().item(), 1.96 * values.std().item() / len(values) ** 0.5)
