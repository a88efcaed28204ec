"""Whether a difference between two runs matters: a regression, a gain, unchanged, or unclear; a rule for few seeds.

A difference is judged where it is larger than the *tolerance*, the smallest one that matters, and a one-sided paired
test says that seeds alone would hardly make it. The sign-flip test of :mod:`cod_runner.report.statistics` cannot say so
of few seeds (three cannot go below p = .25), and the plain paired t-test takes three differences that happen to lie
close together for certainty, and overlooks a drop of .1 in two seeds more often than not. So the test is a *moderated*
t-test (Smyth, "Linear models and empirical Bayes methods for assessing differential expression", 2004, section 4): the
variance of the differences is averaged with what is known beforehand,

    s2 = (d0 * s0^2 + (n - 1) * sd^2) / (d0 + n - 1),    t = mean / sqrt(s2 / n) on d0 + n - 1 degrees of freedom,

with s0 = .05 and d0 = 4: our recipes' seeds spread by .02 to .05, so their differences by .03 (paired well) to .07 (not
at all). Simulated by ``benchmarks/regression_rule.py``, tolerance .02: how often a true drop is called a regression.

    sd of a difference   seeds   drop 0   .02    .05    .1     plain t-test at 0 and .1
    .028                  1      .00     .00    .02    .41   -
                          2      .00     .01    .21    .95   .03   .57
                          3      .00     .04    .51   1.00   .03   .97
                          5      .01     .14    .90   1.00   .03  1.00
                          8      .01     .35   1.00   1.00   .02  1.00
    .050                  1      .02     .04    .13    .46   -
                          2      .03     .08    .29    .78   .04   .34
                          3      .03     .12    .43    .93   .05   .70
                          5      .04     .17    .66    .99   .05   .98
                          8      .04     .27    .85   1.00   .05  1.00
    .071                  1      .07     .12    .22    .47   -
                          2      .07     .15    .30    .66   .05   .24
                          3      .07     .16    .37    .80   .05   .50
                          5      .06     .20    .50    .94   .04   .83
                          8      .07     .23    .65    .99   .05   .97

Whatever the seeds show, one seed must drop by .107 to be called a regression, two by .064, three by .046, five by .030.
The prior speaks of metrics from 0 to 1; where one lies outside, the plain t-test stands, which one seed cannot pass.

Many settings are judged at once, each by two metrics that say nearly the same: p is adjusted over all of a comparison
(Hochberg, "A sharper Bonferroni procedure for multiple tests of significance", 1988), so that .05 holds for the
comparison as a whole. It holds where tests depend on each other positively, as those on the same seeds and texts do;
and a loss that breaks makes all of them drop, which this procedure, unlike Holm's, takes as the evidence that it is.
Two arms by two metrics of which nothing changed had any regression in .00 to .06 of simulated comparisons; where all
dropped by .1, in .71 to .93 with two seeds and .87 to 1.00 with three; where one arm of two did, in .49 to .56 and
.66 to .97. Seeds that spread more than ours raise the false alarms: to .11 of single settings with three seeds at a
deviation of .1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cod_runner.report.statistics import student_t_tail, summarise

ALPHA = 0.05
"""How often a comparison of two runs that differ by seed noise alone may find a regression."""
DEFAULT_TOLERANCE = 0.02
"""Under half of what counterfactuals gain at small k (.03 to .06), and about what three seeds' mean wavers by."""
PRIOR_DEVIATION = 0.05
"""``s0``: of the paired differences of a metric from 0 to 1."""
PRIOR_DEGREES = 4
"""``d0``: how many differences' worth of evidence the prior is."""


class Verdict(StrEnum):
    """What a difference means."""

    REGRESSION = "regression"
    """Worse by more than the tolerance, and not by seed noise."""
    GAIN = "gain"
    UNCHANGED = "unchanged"
    """On average within the tolerance."""
    UNCLEAR = "unclear"
    """Larger than the tolerance, but seed noise can make it."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on one setting by one metric, and the numbers behind it."""

    verdict: Verdict
    improvement: float
    """The mean difference, positive where it is for the better."""
    p_worse: float
    """Of no drop, one-sided; adjusted over the comparison."""
    p_better: float
    """Of no rise, likewise."""
    detectable: float | None
    """The smallest mean drop that would have been called a regression on its own, had the seeds spread as they did;
    None where no drop could be."""

    @property
    def p(self) -> float:
        """The p in the direction of the difference."""
        return self.p_worse if self.improvement < 0 else self.p_better


@dataclass(frozen=True)
class Sample:
    """Paired differences of one setting by one metric."""

    improvements: tuple[float, ...]
    """Per seed, finite and at least one; positive is better."""
    tolerance: float
    share: bool
    """Whether all values of the metric lie from 0 to 1, so that the prior speaks of them."""

    @property
    def mean(self) -> float:
        return math.fsum(self.improvements) / len(self.improvements)


def judge(samples: Sequence[Sample]) -> list[Judgement]:
    """A verdict on every sample of one comparison."""
    worse = adjusted([_p_of_a_rise([-value for value in each.improvements], each.share) for each in samples])
    better = adjusted([_p_of_a_rise(list(each.improvements), each.share) for each in samples])
    return [
        Judgement(_verdict(each, down, up), each.mean, down, up, _detectable(each, ALPHA / len(samples)))
        for each, down, up in zip(samples, worse, better, strict=True)
    ]


def _verdict(sample: Sample, p_worse: float, p_better: float) -> Verdict:
    mean = sample.mean
    if abs(mean) <= sample.tolerance + 1e-9:  # a difference of exactly the tolerance, whatever its rounding
        return Verdict.UNCHANGED
    if mean < 0:
        return Verdict.REGRESSION if p_worse <= ALPHA else Verdict.UNCLEAR
    return Verdict.GAIN if p_better <= ALPHA else Verdict.UNCLEAR


def _p_of_a_rise(differences: Sequence[float], share: bool) -> float:
    error, degrees = _error_of_the_mean(differences, share)
    mean = math.fsum(differences) / len(differences)
    if error is None:
        return 1.0
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return student_t_tail(mean / error, degrees)


def _error_of_the_mean(differences: Sequence[float], share: bool) -> tuple[float | None, int]:
    """(standard error of the mean, its degrees of freedom); None where nothing is known of it."""
    summary = summarise(differences)
    deviation = summary.sd if summary is not None else None
    prior = PRIOR_DEGREES if share else 0
    degrees = prior + len(differences) - 1
    if degrees == 0:
        return None, 0
    of_seeds = (len(differences) - 1) * (deviation or 0.0) ** 2
    return math.sqrt((prior * PRIOR_DEVIATION**2 + of_seeds) / degrees / len(differences)), degrees


def _detectable(sample: Sample, alpha: float) -> float | None:
    error, degrees = _error_of_the_mean(sample.improvements, sample.share)
    if error is None:
        return None
    low, high = 0.0, 1.0
    while student_t_tail(high, degrees) > alpha:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_tail(middle, degrees) > alpha else (low, middle)
    return max(sample.tolerance, high * error)


def adjusted(values: Sequence[float]) -> list[float]:
    """Hochberg's adjusted p: of m values the largest as it is, the next times 2, ..., the smallest times m; none
    larger than one above it."""
    result = [1.0] * len(values)
    least = 1.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: -values[place]), start=1):
        least = min(least, rank * values[place])
        result[place] = least
    return result
