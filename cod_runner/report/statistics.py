"""The few statistics of a report: mean and deviation over seeds, tests of paired differences."""

from __future__ import annotations

import functools
import math
import random
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_UP_TO = 32
"""Pairs; of more, the test of :func:`sign_flip_p` is a sample of ``DRAWS`` assignments."""
DRAWS = 20_000
NUMBERS_AT_ONCE = 1_000_000
"""Random numbers that are in memory at once."""


@dataclass(frozen=True)
class Summary:
    """Values of one table cell, one per seed."""

    mean: float
    sd: float | None
    """Sample standard deviation (divided by n - 1); None for a single value."""
    n: int
    smallest: float
    largest: float


def summarise(values: Sequence[float]) -> Summary | None:
    """Mean, sample standard deviation and extremes; None for no values. One value that is not finite makes them NaN."""
    if not values:
        return None
    if not all(math.isfinite(value) for value in values):
        return Summary(math.nan, None if len(values) == 1 else math.nan, len(values), math.nan, math.nan)
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), sd, len(values), min(values), max(values))


@dataclass(frozen=True)
class PairedComparison:
    """Differences of pairs: the same seed, with and without what is compared."""

    summary: Summary
    wins: int
    """Pairs in which the second of the two is better."""
    losses: int
    p: float
    """Two-sided p of :func:`sign_flip_p`."""

    @property
    def smallest_possible_p(self) -> float:
        """``p`` if every pair pointed the same way: the smallest that :func:`sign_flip_p` can give for n pairs."""
        return 1 / (DRAWS + 1) if self.sampled else min(1.0, 2.0 ** (1 - self.summary.n))

    @property
    def sampled(self) -> bool:
        """Whether ``p`` is estimated from random draws, since there are too many pairs to count every assignment."""
        return self.summary.n > EXACT_UP_TO


def compare_pairs(differences: Sequence[float], higher_is_better: bool) -> PairedComparison | None:
    """Compare pairs by their differences (second minus first); None if none is finite."""
    finite = [difference for difference in differences if math.isfinite(difference)]
    summary = summarise(finite)
    if summary is None:
        return None
    better = [difference if higher_is_better else -difference for difference in finite]
    return PairedComparison(
        summary=summary,
        wins=sum(difference > 0 for difference in better),
        losses=sum(difference < 0 for difference in better),
        p=sign_flip_p(finite),
    )


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p of Fisher's randomisation test on paired differences.

    Under the null hypothesis each difference could as well have had the other sign: p is the share of the 2^n
    assignments of signs whose sum is at least as far from 0 as the observed sum (itself included). Exact up to 32
    pairs, by sorting the sums of each half; beyond that, 20,000 seeded draws and (hits + 1) / (draws + 1).
    """
    return _sign_flip_p(tuple(differences))


@functools.lru_cache(maxsize=4096)
def _sign_flip_p(differences: tuple[float, ...]) -> float:
    """Each set once: the cards of a setting's students and its table ask about the same pairs."""
    if not differences:
        return 1.0
    seen = abs(math.fsum(differences))
    # sums that differ only by rounding count as equal
    seen -= 1e-9 * max(seen, max(abs(difference) for difference in differences))
    if len(differences) > EXACT_UP_TO:
        return (_drawn_hits(differences, seen) + 1) / (DRAWS + 1)
    if seen <= 0:
        return 1.0
    half = len(differences) // 2
    left, right = _signed_sums(differences[:half]), sorted(_signed_sums(differences[half:]))
    hits = sum(len(right) - bisect_left(right, seen - value) + bisect_right(right, -seen - value) for value in left)
    return hits / 2 ** len(differences)


def _drawn_hits(differences: Sequence[float], seen: float) -> int:
    """How many of the drawn assignments have a sum at least as far from 0 as ``seen``. Imports numpy.

    The sum of the eight differences of a byte of signs is looked up among all 256 that there can be.
    """
    import numpy as np

    signs = _drawn_signs(len(differences))
    padded = np.zeros(8 * len(signs))
    padded[: len(differences)] = differences
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)
    sums = np.zeros(DRAWS)
    for byte, eight in zip(signs, padded.reshape(-1, 8), strict=True):
        sums += ((2.0 * bits - 1.0) @ eight)[byte]
    return int(np.count_nonzero(abs(sums) >= seen))


@functools.lru_cache(maxsize=2)
def _drawn_signs(pairs: int) -> NDArray[np.uint8]:
    """Which differences keep their sign in each of the ``DRAWS`` assignments, a bit each, of eight differences in a
    row: the same numbers, in the same order, as ``random.Random(0)`` draws."""
    import numpy as np

    _, state, _ = random.Random(0).getstate()
    draw = np.random.RandomState()
    draw.set_state(("MT19937", np.array(state[:-1], dtype=np.uint32), state[-1], 0, 0.0))
    rows = max(1, NUMBERS_AT_ONCE // pairs)
    begins = range(0, DRAWS, rows)
    drawn = [np.packbits(draw.random_sample((min(rows, DRAWS - begin), pairs)) < 0.5, axis=1) for begin in begins]
    return np.ascontiguousarray(np.concatenate(drawn).T)


def _signed_sums(differences: Sequence[float]) -> list[float]:
    sums = [0.0]
    for difference in differences:
        sums = [value + difference for value in sums] + [value - difference for value in sums]
    return sums


def student_t_tail(t: float, degrees: int) -> float:
    """P(T >= t) of Student's t with a whole number of degrees of freedom, at least 1; good to about 1e-15.

    The finite series of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for step in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    beyond = max(0.0, (1 - inside) / 2)
    return beyond if t >= 0 else 1 - beyond
