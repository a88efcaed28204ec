"""A comparison on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from cod_runner.plain_text import one_line
from cod_runner.report.compare.conclusion import conclusion, outcome, p_in_words, reading_help
from cod_runner.report.compare.missing import missing_in_words
from cod_runner.report.compare.runs import Comparison, Difference, MetricComparison
from cod_runner.report.compare.verdict import Verdict
from cod_runner.report.statistics import DRAWS
from cod_runner.report.table import DECIMALS
from cod_runner.report.terminal import rich_grid
from cod_runner.report.text import number_and_deviation, signed

COLUMNS = ("method", "arm", "k", "first", "second", "second - first", "better", "p", "verdict")
OF_A_VERDICT: dict[str, str] = {
    Verdict.REGRESSION: "bold red", Verdict.GAIN: "green", Verdict.UNCHANGED: "green", Verdict.UNCLEAR: "yellow",
}  # fmt: skip


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print one comparison: a table per metric, what differs, and the verdict."""
    _show_body(console, comparison)
    _show_end(console, [comparison])


def show_comparisons(console: Console, comparisons: Sequence[Comparison], notes: Sequence[str] = ()) -> None:
    """Print several comparisons, each under its title, notes on all of them, and the verdict."""
    for comparison in comparisons:
        if comparison.title:
            console.print(Text(one_line(comparison.title), style="bold"))
        _show_body(console, comparison)
        if len(comparisons) > 1:
            console.print()
    for note in notes:
        console.print(Text(one_line(f"note: {note}"), style="yellow"))
    _show_end(console, comparisons)


def _show_body(console: Console, comparison: Comparison) -> None:
    console.print(Text(one_line(f"first: {comparison.first}   second: {comparison.second}")))
    for compared in comparison.metrics:
        metric = compared.metric
        body = [_words(each) for each in compared.differences]
        console.print(rich_grid(metric.heading, COLUMNS, body, 5, metric.higher_is_better, never_cut=8))
        console.print(Text(one_line(_overall_in_words(compared))))
    if comparison.settings:
        head = ("setting", comparison.first, comparison.second)
        console.print(rich_grid("What differs", head, [list(each) for each in comparison.settings]))
    for note in comparison.notes:
        console.print(Text(one_line(f"note: {note}"), style="yellow"))
    for words in missing_in_words(comparison.missing):
        console.print(Text(one_line(f"missing from {comparison.second}: {words}"), style="bold red"))


def _show_end(console: Console, comparisons: Sequence[Comparison]) -> None:
    if told := reading_help(comparisons):
        console.print(Text(one_line(told), style="dim"))
    colour = OF_A_VERDICT.get(outcome(comparisons), "yellow")
    console.print(Text(one_line(conclusion(comparisons)), style=colour))


def _words(each: Difference) -> list[str]:
    return [
        each.method, each.arm, str(each.k), f"{each.first:.{DECIMALS}f}", f"{each.second:.{DECIMALS}f}",
        number_and_deviation(each.pairs.summary), f"{each.pairs.wins} of {each.pairs.summary.n}",
        p_in_words(each), each.judgement.verdict,
    ]  # fmt: skip


def _overall_in_words(compared: MetricComparison) -> str:
    overall = compared.overall
    draws = f" and {DRAWS:,} draws" if overall.sampled else ""
    return (
        f"Overall: {signed(overall.summary.mean)} {compared.metric.name}, better in {overall.wins} of "
        f"{overall.summary.n} seeds, p = {overall.p:.3g} (two-sided sign-flip permutation test; each seed averaged "
        f"over its cells; with n = {overall.summary.n}{draws}, p cannot fall below {overall.smallest_possible_p:.3g})."
    )
