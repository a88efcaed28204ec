"""The rule by which a difference between two runs is a regression, a gain, unchanged or unclear."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from cod_runner.report.compare.verdict import Sample, Verdict, adjusted, judge
from cod_runner.report.statistics import student_t_tail


def verdict_on(*improvements: float, tolerance: float = 0.02, share: bool = True) -> Verdict:
    return judge([Sample(improvements, tolerance, share)])[0].verdict


@pytest.mark.parametrize(
    ("t", "degrees", "tail"),
    [
        (0.0, 3, 0.5),
        (1.0, 1, 0.25),  # the Cauchy distribution: 1/2 - atan(1)/pi
        (6.313752, 1, 0.05),
        (2.919986, 2, 0.05),
        (2.131847, 4, 0.05),
        (1.943180, 6, 0.05),
        (-1.943180, 6, 0.95),
        (2.015048, 5, 0.05),
        (3.365, 5, 0.01),
        (1.697261, 30, 0.05),
    ],
)
def test_the_tail_of_student_s_t_by_the_tables(t: float, degrees: int, tail: float) -> None:
    assert student_t_tail(t, degrees) == pytest.approx(tail, abs=2e-6 if tail != 0.01 else 2e-5)


@pytest.mark.parametrize(
    ("improvements", "verdict"),
    [
        ((0.0, 0.0, 0.0), Verdict.UNCHANGED),
        ((-0.021, -0.022, -0.023), Verdict.UNCLEAR),  # close together by chance: a plain t-test gives p = .0003
        ((-0.05, 0.01, -0.03), Verdict.UNCLEAR),  # a wobble of three seeds
        ((-0.11, -0.09, -0.12), Verdict.REGRESSION),
        ((0.11, 0.09, 0.12), Verdict.GAIN),
        ((-0.05, 0.05, -0.01), Verdict.UNCHANGED),  # -.003 on average
        ((-0.3, 0.2, -0.05), Verdict.UNCLEAR),
        ((-0.41, -0.38), Verdict.REGRESSION),
        ((-0.06, -0.06), Verdict.UNCLEAR),
        ((-0.065, -0.065), Verdict.REGRESSION),
        ((-0.10,), Verdict.UNCLEAR),
        ((-0.11,), Verdict.REGRESSION),  # one seed: more than seeds alone make, by all that we have measured
        ((-0.02,) * 8, Verdict.UNCHANGED),  # exactly the tolerance
        ((-0.021,) * 8, Verdict.REGRESSION),
    ],
)
def test_a_wobble_is_no_regression_and_a_drop_is(improvements: tuple[float, ...], verdict: Verdict) -> None:
    assert verdict_on(*improvements) is verdict


def test_the_tolerance_decides_what_matters() -> None:
    assert verdict_on(-0.11, -0.09, -0.12, tolerance=0.2) is Verdict.UNCHANGED
    assert verdict_on(*[-0.015] * 20) is Verdict.UNCHANGED
    assert verdict_on(*[-0.015] * 20, tolerance=0.01) is Verdict.REGRESSION


def test_a_metric_beyond_0_to_1_is_judged_by_its_seeds_alone() -> None:
    # mean -30, deviation 10, n = 3: t = 30 / (10 / sqrt 3) = 5.196 on 2 degrees: .0175
    (judged,) = judge([Sample((-20.0, -30.0, -40.0), 1, share=False)])
    assert judged.p_worse == pytest.approx(0.01755, abs=1e-5)
    assert (judged.verdict, verdict_on(-500.0, tolerance=1, share=False)) == (Verdict.REGRESSION, Verdict.UNCLEAR)
    assert judge([Sample((-500.0,), 1, share=False)])[0].detectable is None
    assert verdict_on(-5.0, -5.0, tolerance=1, share=False) is Verdict.REGRESSION, "it repeats exactly"


def test_the_p_by_hand() -> None:
    # (4 x .05^2 + 1 x .0008) / 5 = .00216 with n = 2: error .03286, t = .04 / .03286 = 1.217 on 5 degrees
    (judged,) = judge([Sample((0.02, 0.06), 0.02, True)])
    assert judged.p_better == pytest.approx(student_t_tail(0.04 / (0.00216 / 2) ** 0.5, 5))
    assert judged.p == judged.p_better == pytest.approx(1 - judged.p_worse)
    assert judged.detectable == pytest.approx(2.015048 * 0.03286335, abs=1e-6)


def test_p_is_adjusted_for_the_number_of_rows() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == [0.04, pytest.approx(0.08), pytest.approx(0.08), 0.5]
    assert adjusted([0.04, 0.04, 0.04]) == [0.04, 0.04, 0.04], "all rows drop: Holm would give .12"
    assert adjusted([]) == []
    alone, still = Sample((-0.07, -0.07), 0.02, True), Sample((0.0, 0.0), 0.02, True)
    assert judge([alone])[0].verdict is Verdict.REGRESSION
    assert judge([alone, still, still, still])[0].verdict is Verdict.UNCLEAR
    assert {each.verdict for each in judge([alone] * 4)} == {Verdict.REGRESSION}


@pytest.mark.parametrize(
    ("seeds", "deviation", "drop", "least", "most"),
    [
        (3, 0.05, 0.0, 0.01, 0.06),  # .033 in 4,000 trials
        (3, 0.071, 0.0, 0.04, 0.10),  # .068
        (2, 0.028, 0.1, 0.90, 0.99),  # .953; a plain t-test .57
        (3, 0.05, 0.1, 0.88, 0.97),  # .928
        (8, 0.05, 0.05, 0.79, 0.90),  # .846
    ],
)
def test_false_alarms_and_power_are_as_simulated(
    seeds: int, deviation: float, drop: float, least: float, most: float
) -> None:
    draw = random.Random(1)
    drawn = [tuple(draw.gauss(-drop, deviation) for _ in range(seeds)) for _ in range(1000)]
    found = fmean(verdict_on(*each) is Verdict.REGRESSION for each in drawn)
    assert least < found < most
