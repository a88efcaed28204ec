"""Tails of the binomial distribution against sums by hand."""

from __future__ import annotations

import math

import pytest

from cod_runner.binomial import at_least, at_most


@pytest.mark.parametrize(("trials", "share"), [(1, 0.5), (12, 1 / 3), (60, 0.05), (7, 0.0), (7, 1.0)])
def test_tails_are_sums_of_the_mass(trials: int, share: float) -> None:
    mass = [math.comb(trials, n) * share**n * (1 - share) ** (trials - n) for n in range(trials + 1)]
    for count in range(trials + 1):
        assert at_most(count, trials, share) == pytest.approx(sum(mass[: count + 1]), abs=1e-12)
        assert at_least(count, trials, share) == pytest.approx(sum(mass[count:]), abs=1e-12)


def test_many_trials_neither_overflow_nor_vanish() -> None:
    assert at_most(3_000, 60_000, 0.05) == pytest.approx(0.5, abs=0.01)
    assert at_least(1_389, 1_706, 0.502) < 1e-100
