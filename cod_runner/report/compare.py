"""Two runs side by side, cell by cell, with a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.text import Text

from cod_runner.plain_text import one_line
from cod_runner.report.protocol import protocol
from cod_runner.report.statistics import DRAWS, PairedComparison, compare_pairs
from cod_runner.report.table import MISSING, headline_metrics
from cod_runner.report.terminal import rich_grid
from cod_runner.report.text import number_and_deviation, signed
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.records import CellRow, MetricRecord

DECIDES_WHAT_IS_MEASURED = ("data set", "evaluation")


@dataclass(frozen=True)
class Difference:
    """One method, arm and k: the second run minus the first, over the seeds that both have."""

    method: str
    arm: str
    k: int
    first: float
    second: float
    """Means over those seeds."""
    pairs: PairedComparison


@dataclass(frozen=True)
class MetricComparison:
    """Every method, arm and k that both runs have, by one metric."""

    metric: MetricRecord
    differences: tuple[Difference, ...]
    overall: PairedComparison
    """Differences averaged per seed over methods, arms and k, since the cells of one seed are not independent."""


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common and how they differ."""

    first: str
    second: str
    metrics: tuple[MetricComparison, ...]
    """Empty where nothing is comparable."""
    settings: tuple[tuple[str, str, str], ...]
    """(name, value in the first, value in the second) of each setting in which their protocols differ."""
    notes: tuple[str, ...]


def compare_runs(first: RunFiles, second: RunFiles) -> Comparison:
    """Compare the cells (method, arm, k, seed) that both runs have finished, second minus first.

    By accuracy and agreement; if the runs share neither, by every metric that both measured.
    """
    ours, theirs = ({row.place: row for row in run.rows} for run in (first, second))
    common = [place for place in ours if place in theirs]
    names = _names(first, second)
    settings = _differing_settings(first, second)
    theirs_by_name = {metric.name: metric for metric in second.record.metrics}
    metrics = headline_metrics([metric for metric in first.record.metrics if metric.name in theirs_by_name])
    compared = [made for metric in metrics if (made := _by_metric(metric, common, ours, theirs)) is not None]
    notes = []
    if not compared:
        notes.append(_nothing_in_common(first, second, names, metrics, bool(common)))
    notes += [
        f"The runs disagree on whether a higher {metric.name} is better; this comparison follows {names[0]}."
        for metric in metrics
        if metric.higher_is_better != theirs_by_name[metric.name].higher_is_better
    ]
    different = [name for name, _, _ in settings if name in DECIDES_WHAT_IS_MEASURED]
    if different and compared:
        notes.append(
            f"The runs were not measured in the same way (different {' and '.join(different)}), so the differences "
            "are not due to the students alone."
        )
    for name, mine, other in zip(names, (ours, theirs), (theirs, ours), strict=True):
        alone = sum(place not in other for place in mine)
        if alone and compared:
            notes.append(f"{alone} {'cell' if alone == 1 else 'cells'} only in {name}, not compared.")
    same = [place for place in common if ours[place].key == theirs[place].key]
    unlike = [place for place in same if dict(ours[place].metrics) != dict(theirs[place].metrics)]
    if unlike:
        notes.append(
            f"{len(unlike)} of {len(same)} cells with the same key in both runs have different numbers: the same "
            "settings did not repeat exactly (another device, or other versions?)."
        )
    elif same:
        notes.append(f"{len(same)} cells have the same key and the same numbers in both runs.")
    return Comparison(*names, tuple(compared), settings, tuple(notes))


def _by_metric(
    metric: MetricRecord,
    common: Sequence[tuple[str, str, int, int]],
    ours: dict[tuple[str, str, int, int], CellRow],
    theirs: dict[tuple[str, str, int, int], CellRow],
) -> MetricComparison | None:
    places: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    seeds: dict[int, list[float]] = {}
    for place in common:
        if metric.name not in ours[place].metrics or metric.name not in theirs[place].metrics:
            continue
        first, second = ours[place].metrics[metric.name], theirs[place].metrics[metric.name]
        if first == first and second == second:  # not NaN
            places.setdefault(place[:3], []).append((first, second))
            seeds.setdefault(place[3], []).append(second - first)
    overall = compare_pairs([fmean(seeds[seed]) for seed in sorted(seeds)], metric.higher_is_better)
    if overall is None:
        return None
    differences = []
    for (method, arm, k), values in places.items():
        pairs = compare_pairs([second - first for first, second in values], metric.higher_is_better)
        if pairs is not None:
            means = fmean(first for first, _ in values), fmean(second for _, second in values)
            differences.append(Difference(method, arm, k, *means, pairs))
    order = list(dict.fromkeys(method for method, _, _ in places))
    differences.sort(key=lambda each: (order.index(each.method), each.k, each.arm == "cod"))
    return MetricComparison(metric, tuple(differences), overall)


def _names(first: RunFiles, second: RunFiles) -> tuple[str, str]:
    names = first.folder.resolve().name, second.folder.resolve().name
    return names if names[0] != names[1] else (str(first.folder), str(second.folder))


def _differing_settings(first: RunFiles, second: RunFiles) -> tuple[tuple[str, str, str], ...]:
    ours, theirs = ({each.name: each.value for each in protocol(run.recipe)} for run in (first, second))
    return tuple(
        (name, ours.get(name, MISSING), theirs.get(name, MISSING))
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    )


def _nothing_in_common(
    first: RunFiles, second: RunFiles, names: tuple[str, str], metrics: Sequence[MetricRecord], common: bool
) -> str:
    if common and not metrics:
        return "Nothing is comparable: no metric was measured in both runs."
    if common:
        wanted = " or ".join(metric.name for metric in metrics)
        return f"Nothing is comparable: no cell of both runs has a finite {wanted}."
    holds = []
    for name, run in zip(names, (first, second), strict=True):
        if not run.rows:
            holds.append(f"{name} has no finished cell")
            continue
        methods = ", ".join(dict.fromkeys(row.method for row in run.rows))
        k = ", ".join(map(str, sorted({row.k for row in run.rows})))
        seeds = ", ".join(map(str, sorted({row.seed for row in run.rows})))
        holds.append(f"{name} has {methods} at k {k}, seeds {seeds}")
    return f"Nothing is comparable: no method, arm, k and seed is in both runs ({'; '.join(holds)})."


COLUMNS = ("method", "arm", "k", "first", "second", "second - first", "better seeds", "p")


def _grid(compared: MetricComparison) -> list[list[str]]:
    return [
        [
            each.method, each.arm, str(each.k), f"{each.first:.3f}", f"{each.second:.3f}",
            number_and_deviation(each.pairs.summary), f"{each.pairs.wins} of {each.pairs.summary.n}",
            f"{each.pairs.p:.3g}",
        ]
        for each in compared.differences
    ]  # fmt: skip


def _overall_in_words(compared: MetricComparison) -> str:
    overall = compared.overall
    draws = f" and {DRAWS:,} draws" if overall.sampled else ""
    return (
        f"Overall: {signed(overall.summary.mean)} {compared.metric.name}, better in {overall.wins} of "
        f"{overall.summary.n} seeds, p = {overall.p:.3g} (two-sided sign-flip permutation test; each seed averaged "
        f"over its cells; with n = {overall.summary.n}{draws}, p cannot fall below {overall.smallest_possible_p:.3g})."
    )


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print the comparison."""
    console.print(Text(one_line(f"first: {comparison.first}   second: {comparison.second}")))
    for compared in comparison.metrics:
        metric = compared.metric
        console.print(rich_grid(metric.heading, COLUMNS, _grid(compared), 5, metric.higher_is_better))
        console.print(Text(one_line(_overall_in_words(compared))))
    if comparison.settings:
        head = ("setting", comparison.first, comparison.second)
        console.print(rich_grid("What differs", head, [list(each) for each in comparison.settings]))
    for note in comparison.notes:
        console.print(Text(one_line(f"note: {note}"), style="yellow"))
