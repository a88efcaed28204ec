"""How often `codrun compare` calls a drop a regression: false alarms and power, by simulation.

    python benchmarks/regression_rule.py [--trials 4000]

Differences of paired seeds are drawn from a normal distribution with the deviations that our recipes show: .028 to .071
(each run's seeds spread by .02 to .05, unpaired; pairing makes it less). First one setting by one metric, with the
plain paired t-test beside the rule; then a whole comparison of two arms by two metrics, whose differences correlate.
The numbers stand in the docstring of `cod_runner.report.compare.verdict`.
"""

from __future__ import annotations

import argparse
import math
import random
from statistics import fmean, stdev

from cod_runner.report.compare.verdict import ALPHA, DEFAULT_TOLERANCE, Sample, Verdict, judge
from cod_runner.report.statistics import student_t_tail

DEVIATIONS = (0.028, 0.05, 0.071)
SEEDS = (1, 2, 3, 5, 8)
DROPS = (0.0, 0.02, 0.05, 0.1)


def called_by_a_plain_test(differences: list[float]) -> bool:
    """Whether the unmoderated paired t-test and the tolerance call these a regression."""
    if len(differences) < 2 or -fmean(differences) <= DEFAULT_TOLERANCE:
        return False
    t = -fmean(differences) / (stdev(differences) / math.sqrt(len(differences)))
    return student_t_tail(t, len(differences) - 1) <= ALPHA


def one_setting(draw: random.Random, trials: int) -> None:
    """Print how often one setting is called a regression, for each deviation, number of seeds and true drop."""
    print("one setting: share of drops called a regression, by the rule (and by a plain paired t-test)")
    for deviation in DEVIATIONS:
        for seeds in SEEDS:
            words = []
            for drop in DROPS:
                drawn = [[draw.gauss(-drop, deviation) for _ in range(seeds)] for _ in range(trials)]
                ours = fmean(
                    judge([Sample(tuple(each), DEFAULT_TOLERANCE, True)])[0].verdict is Verdict.REGRESSION
                    for each in drawn
                )
                words.append(f"{drop:.2f}: {ours:.3f} ({fmean(map(called_by_a_plain_test, drawn)):.3f})")
            print(f"  deviation {deviation:.3f}, {seeds} seeds   " + "   ".join(words))


def whole_comparison(draw: random.Random, trials: int) -> None:
    """Print how often a comparison of two arms by two metrics has any regression; arms share a third of their
    variance, the metrics of an arm four fifths."""
    print("two arms by two metrics, all of which drop, or one arm of them: share of comparisons with a regression")
    for deviation in DEVIATIONS:
        for seeds in SEEDS[1:]:
            words = []
            for drops in ((0.0, 0.0), (0.05, 0.05), (0.1, 0.1), (0.0, 0.1)):
                found = fmean(_has_a_regression(draw, deviation, seeds, drops) for _ in range(trials))
                words.append(f"{drops[0]:.2f} and {drops[1]:.2f}: {found:.3f}")
            print(f"  deviation {deviation:.3f}, {seeds} seeds   " + "   ".join(words))


def _has_a_regression(draw: random.Random, deviation: float, seeds: int, drops: tuple[float, float]) -> bool:
    samples: list[list[float]] = [[], [], [], []]
    for _ in range(seeds):
        shared = draw.gauss(0, 1)
        for arm, drop in enumerate(drops):
            of_arm = math.sqrt(1 / 3) * shared + math.sqrt(2 / 3) * draw.gauss(0, 1)
            for metric in range(2):
                noise = math.sqrt(0.8) * of_arm + math.sqrt(0.2) * draw.gauss(0, 1)
                samples[2 * arm + metric].append(deviation * noise - drop)
    judged = judge([Sample(tuple(each), DEFAULT_TOLERANCE, True) for each in samples])
    return any(each.verdict is Verdict.REGRESSION for each in judged)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000, help="simulated comparisons of each kind")
    trials = parser.parse_args().trials
    draw = random.Random(0)
    one_setting(draw, trials)
    whole_comparison(draw, trials)


if __name__ == "__main__":
    main()
