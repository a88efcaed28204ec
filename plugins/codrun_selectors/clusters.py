"""k-means: Lloyd's algorithm from centres that k-means++ draws (Arthur and Vassilvitskii, 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

from codrun_selectors.points import squared_distances

STARTS = 4
"""Of the runs from so many draws the tightest counts."""
ROUNDS = 100
"""At most; a run ends when no point changes its cluster."""


def k_means(points: Tensor, count: int, seed: int) -> list[list[int]]:
    """Positions of the points in each of at most ``count`` clusters, none of them empty, by their first points.

    There are fewer clusters where there are fewer different points.
    """
    draws = torch.Generator().manual_seed(seed)
    runs = [_lloyd(points, _drawn_centres(points, count, draws)) for _ in range(STARTS)]
    _, best = min(enumerate(runs), key=lambda run: (run[1][0], run[0]))
    clusters: dict[int, list[int]] = {}
    for position, cluster in enumerate(best[1].tolist()):
        clusters.setdefault(cluster, []).append(position)
    return list(clusters.values())


def _drawn_centres(points: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """The first at random, each further one with a probability in proportion to its squared distance from the nearest
    centre so far."""
    chosen = [int(torch.randint(len(points), (1,), generator=draws))]
    nearest = _to_one(points, chosen[0])
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(int(torch.multinomial(nearest, 1, generator=draws)))
        nearest = torch.minimum(nearest, _to_one(points, chosen[-1]))
    return points[chosen]


def _lloyd(points: Tensor, centres: Tensor) -> tuple[float, Tensor]:
    """The sum of squared distances, and each point's cluster."""
    distances, clusters = _nearest(points, centres)
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, clusters, points)
        sizes = torch.bincount(clusters, minlength=len(centres)).unsqueeze(1)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)  # an empty cluster's stays
        distances, moved = _nearest(points, centres)
        if torch.equal(moved, clusters):
            break
        clusters = moved
    return float(distances.double().sum()), clusters


def _nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    found = [part.min(1) for part in squared_distances(points, centres)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def _to_one(points: Tensor, position: int) -> Tensor:
    """Squared distances to one of the points, itself exactly 0."""
    return (points - points[position]).square().sum(1)
