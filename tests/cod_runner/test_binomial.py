"""Tails of the binomial distribution against sums by hand."""

from __future__ import annotations

import math

import pytest

from cod_runner.binomial import at_least, at_most, half_width, wilson


@pytest.mark.parametrize(("trials", "share"), [(1, 0.5), (12, 1 / 3), (60, 0.05), (7, 0.0), (7, 1.0)])
def test_tails_are_sums_of_the_mass(trials: int, share: float) -> None:
    mass = [math.comb(trials, n) * share**n * (1 - share) ** (trials - n) for n in range(trials + 1)]
    for count in range(trials + 1):
        assert at_most(count, trials, share) == pytest.approx(sum(mass[: count + 1]), abs=1e-12)
        assert at_least(count, trials, share) == pytest.approx(sum(mass[count:]), abs=1e-12)


def test_many_trials_neither_overflow_nor_vanish() -> None:
    assert at_most(3_000, 60_000, 0.05) == pytest.approx(0.5, abs=0.01)
    assert at_least(1_389, 1_706, 0.502) < 1e-100


def test_half_of_an_interval_by_hand() -> None:
    assert half_width(100) == pytest.approx(0.0980, abs=1e-4)
    assert half_width(100, 0.9) == pytest.approx(0.0588, abs=1e-4)


def test_wilsons_interval_by_hand() -> None:
    # 1 of 2, z = 1.96: the middle is 1/2, half its width 1.96 / (1 + 3.8415 / 2) * sqrt(1/8 + 3.8415 / 16)
    assert wilson(1, 2) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0


def test_wilsons_interval_as_published() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81 of 263, 15 of 148, 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
