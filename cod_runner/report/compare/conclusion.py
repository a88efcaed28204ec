"""What one or several comparisons come to: one word, one sentence, and whether a check of a change should fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cod_runner.errors import RegressionFound
from cod_runner.report.compare.missing import missing_in_words
from cod_runner.report.compare.runs import Comparison, Difference, MetricComparison
from cod_runner.report.compare.verdict import ALPHA, Verdict
from cod_runner.report.table import DECIMALS, MISSING
from cod_runner.report.text import number_and_deviation

NOTHING = "nothing compared"
SMALLEST_P = 0.001
"""That is shown as a number."""
MOST_NAMED = 3
"""Regressions that a sentence names; the others are counted."""
THE_TEST = (
    f"p: one-sided paired t-test in the direction of the difference, its variance moderated for few seeds, adjusted "
    f"for all rows (Hochberg). A regression or gain is larger than the tolerance and has p of {ALPHA:g} at most; "
    "unchanged is within the tolerance; unclear is larger, but can be seed noise."
)


def outcome(comparisons: Sequence[Comparison]) -> str:
    """``regression`` (missing cells are one), ``nothing compared``, or the most telling verdict of the others."""
    verdicts = _counts(comparisons)
    if failures(comparisons):
        return Verdict.REGRESSION
    if not verdicts:
        return NOTHING
    if _doubtful(comparisons):
        return Verdict.UNCLEAR
    return next(each for each in (Verdict.GAIN, Verdict.UNCLEAR, Verdict.UNCHANGED) if verdicts[each])


def conclusion(comparisons: Sequence[Comparison]) -> str:
    """One sentence, the verdict first."""
    reasons = failures(comparisons)
    if reasons:
        return f"Regression: {_listed(reasons)}."
    verdicts = _counts(comparisons)
    if not verdicts:
        return "Nothing was compared."
    counted = ", ".join(
        f"{verdicts[each]} {each}{'s' if each is Verdict.GAIN and verdicts[each] > 1 else ''}"
        for each in Verdict
        if verdicts[each]
    )
    said = f"No regression in {verdicts.total()} {'difference' if verdicts.total() == 1 else 'differences'} ({counted})"
    if doubtful := _doubtful(comparisons):
        return f"{said}; seed noise can make this, and more seeds would tell: {_listed(doubtful)}."
    return f"{said}."


def failures(comparisons: Sequence[Comparison]) -> list[str]:
    """What must not happen: each regression in words, and each group of missing cells."""
    return [
        *(_moved(compared, each, title) for title, compared, each in _worst_first(comparisons)),
        *(
            f"missing from {each.second}{_of(_title(each, comparisons))}: {words}"
            for each in comparisons
            for words in missing_in_words(each.missing)
        ),
    ]


def reasons_to_fail(comparisons: Sequence[Comparison]) -> list[str]:
    """What ``--fail-on-regression`` goes by: :func:`failures`, and each comparison in which nothing was comparable,
    since it has shown nothing.

    A cell that the first run measured and the second lacks counts where the second's recipe asks for it: a student
    that cannot be trained any more is worse than a poor one.
    """
    empty = [each for each in comparisons if not each.metrics]
    return [
        *failures(comparisons),
        *(f"{each.notes[0].removesuffix('.')}{_of(_title(each, comparisons))}" for each in empty),
    ]


def raise_on_regression(comparisons: Sequence[Comparison]) -> None:
    """Raise :class:`RegressionFound` that names every one of :func:`reasons_to_fail`, if there is any."""
    if reasons := reasons_to_fail(comparisons):
        raise RegressionFound(_listed(reasons))


def tolerance_in_words(comparisons: Sequence[Comparison]) -> str:
    """``The tolerance is 0.02.``, or that of each metric where they differ; "" where nothing was compared."""
    by_metric = {compared.metric.name: compared.tolerance for each in comparisons for compared in each.metrics}
    if len(set(by_metric.values())) == 1:
        return f"The tolerance is {next(iter(by_metric.values())):g}."
    return "".join(f"The tolerance of {name} is {value:g}. " for name, value in by_metric.items()).strip()


def reading_help(comparisons: Sequence[Comparison]) -> str:
    """What the verdicts mean, and how much this comparison can see; "" where nothing was compared."""
    told = [tolerance_in_words(comparisons), detectable_in_words(comparisons)]
    return " ".join([THE_TEST, *told]) if all(told) else ""


def detectable_in_words(comparisons: Sequence[Comparison]) -> str:
    """From which drop on this comparison could have told a regression; "" where nothing was compared."""
    found = [each.judgement.detectable for _, _, each in _all(comparisons, *Verdict)]
    known = [value for value in found if value is not None]
    if not found:
        return ""
    blind = len(found) - len(known)
    alone = f"{blind} of {len(found)} have one seed, of which nothing can be said" if blind else ""
    if not known:
        return f"One seed says nothing here: {alone}."
    least, most = f"{min(known):.{DECIMALS}f}", f"{max(known):.{DECIMALS}f}"
    size = least if least == most else f"{least} to {most}"
    said = f"With these seeds a change for the worse is told from seed noise from {size} on"
    return f"{said}{'; ' + alone if alone else ''}."


def p_in_words(each: Difference) -> str:
    """The p of the verdict; a dash where nothing moved, since there is no direction then."""
    if each.pairs.summary.mean == 0:
        return MISSING
    return f"{each.judgement.p:.3f}" if each.judgement.p >= SMALLEST_P else f"<{SMALLEST_P}"


def _moved(compared: MetricComparison, each: Difference, title: str) -> str:
    """``accuracy of kd, cod, k = 20 fell from 0.918 to 0.807 (−0.111 ± 0.020 over 3 seeds, p = 0.012)``."""
    summary, p = each.pairs.summary, p_in_words(each)
    seeds = f"{summary.n} seed{'' if summary.n == 1 else 's'}"
    return (
        f"{compared.metric.name} of {each.place}{_of(title)} {'fell' if summary.mean < 0 else 'rose'} from "
        f"{each.first:.{DECIMALS}f} to {each.second:.{DECIMALS}f} ({number_and_deviation(summary)} over {seeds}, "
        f"p {p.replace('<', '< ') if p.startswith('<') else f'= {p}'})"
    )


def _doubtful(comparisons: Sequence[Comparison]) -> list[str]:
    """Drops larger than the tolerance that seed noise can make, in words."""
    return [
        _moved(compared, each, title)
        for title, compared, each in _all(comparisons, Verdict.UNCLEAR)
        if each.judgement.improvement < 0
    ]


def _of(title: str) -> str:
    return f" of {title}" if title else ""


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - MOST_NAMED
    return "; ".join(parts[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _worst_first(comparisons: Sequence[Comparison]) -> list[tuple[str, MetricComparison, Difference]]:
    found = _all(comparisons, Verdict.REGRESSION)
    return sorted(found, key=lambda each: (each[2].judgement.p_worse, -abs(each[2].pairs.summary.mean)))


def _counts(comparisons: Sequence[Comparison]) -> Counter[Verdict]:
    return Counter(each.judgement.verdict for _, _, each in _all(comparisons, *Verdict))


def _all(comparisons: Sequence[Comparison], *verdicts: Verdict) -> Iterator[tuple[str, MetricComparison, Difference]]:
    for comparison in comparisons:
        for compared, each in comparison.with_verdict(*verdicts):
            yield _title(comparison, comparisons), compared, each


def _title(comparison: Comparison, among: Sequence[Comparison]) -> str:
    """What tells it from the others, if there are any."""
    return comparison.title if len(among) > 1 else ""
