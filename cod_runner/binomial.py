"""Exact tails of the binomial distribution: what few trials show about a share."""

from __future__ import annotations

import math

NORMAL_95 = 1.96
"""Standard errors on either side of a mean that make an interval of 95%."""


def at_most(count: int, trials: int, share: float) -> float:
    """Probability of at most ``count`` successes in ``trials``, each a success with probability ``share``."""
    return min(1.0, math.fsum(_exactly(each, trials, share) for each in range(count + 1)))


def at_least(count: int, trials: int, share: float) -> float:
    """Probability of at least ``count`` successes."""
    return min(1.0, math.fsum(_exactly(each, trials, share) for each in range(count, trials + 1)))


def half_width(rows: int, share: float = 0.5) -> float:
    """Of the 95% interval of a share that was measured on so many rows, by the normal approximation; without a share,
    at most."""
    return NORMAL_95 * math.sqrt(max(0.0, share * (1 - share)) / rows)


def _exactly(count: int, trials: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(count == trials * share)
    ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(ways + count * math.log(share) + (trials - count) * math.log1p(-share))
