from __future__ import annotations

import itertools
import math
import random

import pytest

from cod_runner.report.statistics import DRAWS, EXACT_UP_TO, compare_pairs, sign_flip_p, summarise


def test_mean_and_sample_deviation_by_hand() -> None:
    # mean 0.6; squares of the distances .01 + 0 + .01 = .02; over n - 1 = 2: .01; root: .1
    summary = summarise([0.5, 0.6, 0.7])
    assert summary is not None
    assert summary.mean == pytest.approx(0.6)
    assert summary.sd == pytest.approx(0.1)
    assert (summary.n, summary.smallest, summary.largest) == (3, 0.5, 0.7)


def test_one_value_has_no_deviation_and_no_value_has_no_summary() -> None:
    one = summarise([0.5])
    assert one is not None
    assert one.sd is None
    assert summarise([]) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_not_averaged_away(bad: float) -> None:
    summary = summarise([0.5, bad])
    assert summary is not None
    assert math.isnan(summary.mean)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([0.3], 1.0),  # +.3 and -.3 are equally far from 0
        ([0.1, 0.1, 0.1], 2 / 8),  # only all + and all -
        ([1.0, 2.0, -1.0], 6 / 8),  # |sum| of +++ 4, ++- 2, +-+ 0, +-- 2 and their mirrors; seen 2
        ([0.1] * 5, 2 / 32),
        ([1.0, -1.0], 1.0),
        ([0.0, 0.0], 1.0),
        ([0.0, 0.2, 0.2], 4 / 8),  # a zero doubles both counts
        ([], 1.0),
    ],
)
def test_sign_flip_p_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == p


def test_sign_flip_p_equals_the_plain_enumeration() -> None:
    draw = random.Random(7)
    for n in range(1, 11):
        for _ in range(5):
            differences = [draw.choice([draw.gauss(0.3, 1), 0.0, 0.1]) for _ in range(n)]
            seen = abs(sum(differences))
            flips = itertools.product((1, -1), repeat=n)
            far = sum(
                abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen - 1e-9 for signs in flips
            )
            assert sign_flip_p(differences) == far / 2**n


def test_many_pairs_are_drawn_with_a_seed_and_never_give_0() -> None:
    differences = [0.01] * 40
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert 0 < sign_flip_p(differences) < 1e-3
    assert sign_flip_p([0.01, -0.01] * 20) == 1.0


def test_wins_follow_the_direction_in_which_the_metric_is_better() -> None:
    up, down = (
        compare_pairs([0.1, 0.0, -0.2], higher_is_better=True),
        compare_pairs([0.1, 0.0, -0.2], higher_is_better=False),
    )
    assert up is not None
    assert down is not None
    assert (up.wins, up.losses, down.wins, down.losses) == (1, 1, 1, 1)
    only_down = compare_pairs([-0.1, -0.2, math.nan], higher_is_better=False)
    assert only_down is not None
    assert (only_down.wins, only_down.losses, only_down.summary.n) == (2, 0, 2)
    assert only_down.summary.mean == pytest.approx(-0.15)


def test_nothing_to_compare_is_none() -> None:
    assert compare_pairs([math.nan], True) is None


def test_the_smallest_p_that_n_pairs_can_show() -> None:
    three = compare_pairs([0.1, 0.2, 0.3], True)
    assert three is not None
    assert three.p == three.smallest_possible_p == 0.25


@pytest.mark.parametrize("n", [1, 2, EXACT_UP_TO - 1, EXACT_UP_TO, EXACT_UP_TO + 1, 100])
def test_no_p_is_smaller_than_what_is_said_to_be_possible(n: int) -> None:
    one_way = compare_pairs([0.1] * n, True)
    assert one_way is not None
    assert one_way.p == one_way.smallest_possible_p
    assert one_way.sampled == (n > EXACT_UP_TO)
    if one_way.sampled:
        assert one_way.smallest_possible_p == pytest.approx(5e-5, rel=1e-3), "by 20,000 draws"


@pytest.mark.parametrize("pairs", [33, 40])
@pytest.mark.parametrize("kind", ["rounded", "few values", "any"])
def test_many_pairs_are_drawn_one_by_one_as_it_were(pairs: int, kind: str) -> None:
    draw = random.Random(f"{pairs} {kind}")
    values = {
        "rounded": lambda: draw.randrange(-20, 25) / 1706,
        "few values": lambda: draw.choice([0.1, -0.1, 0.3]),
        "any": lambda: draw.gauss(0.1, 0.4),
    }
    differences = [values[kind]() for _ in range(pairs)]
    seen = abs(math.fsum(differences)) - 1e-9
    signs = random.Random(0)
    hits = sum(abs(sum(d if signs.random() < 0.5 else -d for d in differences)) >= seen for _ in range(DRAWS))
    assert 0 < hits < DRAWS and sign_flip_p(differences) == (hits + 1) / (DRAWS + 1)
