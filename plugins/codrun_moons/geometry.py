"""Decision boundaries in the plane as point sets, and the quantities of Theorem 2, all in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Margin = Callable[[Tensor], Tensor]
"""Points ``[n, 2]`` to signed margins ``[n]``; a decision boundary is where it is 0."""

Window = tuple[tuple[float, float], tuple[float, float]]
"""((x from, x to), (y from, y to))."""

SEGMENT_POINTS = 200
BISECTIONS = 40


def grid_points(window: Window, side: int) -> Tensor:
    """``[side, side, 2]``: rows share y, columns share x."""
    xs, ys = (torch.linspace(low, high, side, dtype=torch.float64) for low, high in window)
    rows, columns = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([columns, rows], -1)


def boundary_points(margin: Margin, window: Window, side: int) -> Tensor:
    """Where the margin changes sign along the edges of a grid, linearly interpolated: ``[n, 2]``, n may be 0.

    Neighbouring points are at most one grid cell's diagonal apart, which bounds what is lost of the curve between them.
    """
    points = grid_points(window, side)
    values = margin(points.flatten(0, 1)).reshape(side, side)
    found = []
    for ahead in ((slice(None), slice(1, None)), (slice(1, None), slice(None))):
        behind = tuple(slice(None, -1) if part.start == 1 else part for part in ahead)
        here, there = values[behind], values[ahead]
        crosses = (here > 0) != (there > 0)
        share = (here[crosses] / (here[crosses] - there[crosses]))[:, None]
        found.append(points[behind][crosses] * (1 - share) + points[ahead][crosses] * share)
    return torch.cat(found)


def nearest_distances(points: Tensor, others: Tensor) -> Tensor:
    """For each of ``points [n, 2]`` its Euclidean distance to the nearest of ``others [m, 2]``; infinite if m is 0."""
    if not len(others):
        return torch.full((len(points),), torch.inf, dtype=torch.float64)
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def hausdorff(one: Tensor, other: Tensor) -> float:
    """max(sup over ``one`` of the distance to ``other``, and the reverse); 0 for two empty sets, infinite for one."""
    both = torch.cat([nearest_distances(one, other), nearest_distances(other, one)])
    return both.max().item() if len(both) else 0.0


def mean_distance(one: Tensor, other: Tensor) -> float:
    """Mean distance to the other boundary, averaged over both directions; Hausdorff gives the largest instead."""
    if not len(one) or not len(other):
        return 0.0 if len(one) == len(other) else float("inf")
    return (nearest_distances(one, other).mean() + nearest_distances(other, one).mean()).item() / 2


def segment_crossing(margin: Margin, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """The first place on each segment from ``starts [n, 2]`` to ``ends [n, 2]`` where the margin changes sign.

    Returns (points ``[n, 2]``, found ``[n]`` bool); points without a crossing are NaN.
    """
    shares = torch.linspace(0, 1, SEGMENT_POINTS, dtype=torch.float64)
    along = starts[:, None] + shares[None, :, None] * (ends - starts)[:, None]
    positive = (margin(along.flatten(0, 1)) > 0).reshape(len(starts), SEGMENT_POINTS)
    changes = positive[:, 1:] != positive[:, :-1]
    found = changes.any(1)
    first = changes.int().argmax(1)
    low, high = shares[first], shares[first + 1]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        same = (margin(starts + middle[:, None] * (ends - starts)) > 0) == positive[:, 0]
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    points = starts + ((low + high) / 2)[:, None] * (ends - starts)
    return torch.where(found[:, None], points, torch.nan), found


@dataclass(frozen=True)
class Proximity:
    """Theorem 2's quantities for one student, from its pairs (x, x')."""

    alpha: float
    """Largest ||x - x'||."""
    epsilon_teacher: float
    """Largest distance from the teacher's boundary to the nearest of its crossings of a segment x, x'."""
    epsilon_student: float
    """The same for the student's boundary and the student's crossings."""
    pairs: int
    matched: int
    """Pairs of which the student classifies both halves as the teacher does: assumption A2, by class."""
    crossed: int
    """Pairs whose segment both boundaries cross; only these support the bound."""

    @property
    def epsilon(self) -> float:
        """The larger one: the proof needs both."""
        return max(self.epsilon_teacher, self.epsilon_student)

    @property
    def bound(self) -> float:
        """alpha + epsilon."""
        return self.alpha + self.epsilon


def proximity(
    teacher: Margin, student: Margin, teacher_boundary: Tensor, student_boundary: Tensor, pairs: Tensor
) -> Proximity:
    """``pairs`` is ``[n, 2, 2]``: original and counterfactual of each.

    Where both boundaries cross one segment they are at most alpha apart there, so that H <= alpha + epsilon follows
    for the crossing pairs alone; pairs whose halves the student does not tell apart add nothing and may leave epsilon
    large.
    """
    starts, ends = pairs[:, 0], pairs[:, 1]
    theirs, teacher_crosses = segment_crossing(teacher, starts, ends)
    ours, student_crosses = segment_crossing(student, starts, ends)
    both = teacher_crosses & student_crosses
    matches = [(teacher(half) > 0) == (student(half) > 0) for half in (starts, ends)]
    return Proximity(
        alpha=(starts - ends).norm(dim=1).max().item(),
        epsilon_teacher=_largest(nearest_distances(teacher_boundary, theirs[both])),
        epsilon_student=_largest(nearest_distances(student_boundary, ours[both])),
        pairs=len(pairs),
        matched=int((matches[0] & matches[1]).sum()),
        crossed=int(both.sum()),
    )


def _largest(values: Tensor) -> float:
    return values.max().item() if len(values) else 0.0
