"""What few trials show about a share: exact tails of the binomial distribution, and intervals of 95%."""

from __future__ import annotations

import math

NORMAL_95 = 1.959964
"""Standard errors on either side of a mean that make an interval of 95%: the normal distribution's .975 quantile."""


def at_most(count: int, trials: int, share: float) -> float:
    """Probability of at most ``count`` successes in ``trials``, each a success with probability ``share``."""
    return min(1.0, math.fsum(_exactly(each, trials, share) for each in range(count + 1)))


def at_least(count: int, trials: int, share: float) -> float:
    """Probability of at least ``count`` successes."""
    return min(1.0, math.fsum(_exactly(each, trials, share) for each in range(count, trials + 1)))


def half_width(rows: int, share: float = 0.5) -> float:
    """Half of the 95% interval of a share that is to be measured on so many rows, by the normal approximation; at most
    so wide where the share is not known. Of a share that was measured, :func:`wilson` gives the interval."""
    return NORMAL_95 * math.sqrt(max(0.0, share * (1 - share)) / rows)


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """The 95% interval of a share of which ``successes`` in ``trials`` were seen (Wilson 1927, JASA 22:209): unlike the
    normal approximation it has a width where all or none succeeded."""
    share, z2 = successes / trials, NORMAL_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _exactly(count: int, trials: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(count == trials * share)
    ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(ways + count * math.log(share) + (trials - count) * math.log1p(-share))
