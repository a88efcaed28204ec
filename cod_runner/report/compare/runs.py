"""Two runs side by side: every method, arm and k that both have, paired by seed, with a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from cod_runner.errors import RecipeError
from cod_runner.report.compare.missing import MissingCell, missing_cells, no_longer_asked
from cod_runner.report.compare.verdict import DEFAULT_TOLERANCE, Judgement, Sample, Verdict, judge
from cod_runner.report.protocol import DECIDES_WHAT_IS_MEASURED, protocol
from cod_runner.report.statistics import PairedComparison, compare_pairs
from cod_runner.report.table import MISSING, headline_metrics
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.records import CellRow, MetricRecord


@dataclass(frozen=True)
class CompareOptions:
    """What the user says of a comparison."""

    metrics: tuple[str, ...] = ()
    """By which to compare; empty: accuracy and agreement, or, if the runs share neither, all that both measured."""
    tolerance: float = DEFAULT_TOLERANCE
    """The smallest difference that matters, in a metric's own units."""
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Of single metrics, by name."""

    def tolerance_of(self, metric: str) -> float:
        return self.tolerances.get(metric, self.tolerance)


@dataclass(frozen=True)
class Pair:
    """Two runs, and how they are called if not by their folders' names."""

    first: RunFiles
    second: RunFiles
    names: tuple[str, str] | None = None
    title: str = ""
    """Of this comparison among several; "" if it is the only one."""

    @property
    def named(self) -> tuple[str, str]:
        if self.names is not None:
            return self.names
        names = self.first.folder.resolve().name, self.second.folder.resolve().name
        return names if names[0] != names[1] else (str(self.first.folder), str(self.second.folder))


@dataclass(frozen=True)
class Difference:
    """One method, arm and k: the second run minus the first, over the seeds that both have."""

    method: str
    arm: str
    k: int
    seeds: tuple[int, ...]
    values: tuple[tuple[float, float], ...]
    """(first, second) of each seed, in their order; finite."""
    pairs: PairedComparison
    judgement: Judgement

    @property
    def first(self) -> float:
        """The first run's mean over these seeds."""
        return fmean(first for first, _ in self.values)

    @property
    def second(self) -> float:
        return fmean(second for _, second in self.values)

    @property
    def place(self) -> str:
        """``kd, cod, k = 20``."""
        return f"{self.method}, {self.arm}, k = {self.k}"


@dataclass(frozen=True)
class MetricComparison:
    """Every method, arm and k that both runs have, by one metric."""

    metric: MetricRecord
    tolerance: float
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
    missing: tuple[MissingCell, ...] = ()
    """What the first run measured, and the second's recipe asks for, and the second run does not have."""
    title: str = ""

    def with_verdict(self, *verdicts: Verdict) -> Iterator[tuple[MetricComparison, Difference]]:
        """Every difference on which this is the verdict, with its metric."""
        for compared in self.metrics:
            for each in compared.differences:
                if each.judgement.verdict in verdicts:
                    yield compared, each

    @property
    def judged(self) -> int:
        """How many differences there is a verdict on."""
        return sum(len(compared.differences) for compared in self.metrics)


def compare_runs(first: RunFiles, second: RunFiles, options: CompareOptions | None = None) -> Comparison:
    """Compare the cells (method, arm, k, seed) that both runs have finished, second minus first.

    By accuracy and agreement; if the runs share neither, by every metric that both measured. Raises
    :class:`RecipeError` for a metric that was not measured in both.
    """
    return compare_all([Pair(first, second)], options)[0]


def compare_all(pairs: Sequence[Pair], options: CompareOptions | None = None) -> list[Comparison]:
    """:func:`compare_runs` of several pairs of runs, whose verdicts are adjusted for each other."""
    options = options or CompareOptions()
    paired = [_Paired(pair, options) for pair in pairs]
    _refuse_unknown(options, paired)
    judgements = iter(judge([each.sample for one in paired for each in one.settings]))
    return [one.comparison(judgements) for one in paired]


@dataclass(frozen=True)
class _Setting:
    """One method, arm and k by one metric, before it is judged."""

    metric: MetricRecord
    place: tuple[str, str, int]
    values: dict[int, tuple[float, float]]
    """By seed."""
    sample: Sample


class _Paired:
    """The cells of two runs, paired."""

    def __init__(self, pair: Pair, options: CompareOptions) -> None:
        self.pair, self.options = pair, options
        self.ours, self.theirs = ({row.place: row for row in run.rows} for run in (pair.first, pair.second))
        self.common = [place for place in self.ours if place in self.theirs]
        self.of_second = {metric.name: metric for metric in pair.second.record.metrics}
        self.shared = [metric for metric in pair.first.record.metrics if metric.name in self.of_second]
        wanted = [metric for metric in self.shared if metric.name in options.metrics]
        self.metrics = wanted if options.metrics else headline_metrics(self.shared)
        self.settings = [setting for metric in self.metrics for setting in self._settings(metric)]

    def _settings(self, metric: MetricRecord) -> list[_Setting]:
        found: dict[tuple[str, str, int], dict[int, tuple[float, float]]] = {}
        for place in self.common:
            first, second = (_number(rows[place], metric) for rows in (self.ours, self.theirs))
            if first is not None and second is not None:
                found.setdefault(place[:3], {})[place[3]] = (first, second)
        order = list(dict.fromkeys(method for method, _, _ in found))
        share = all(0 <= value <= 1 for of in found.values() for pair in of.values() for value in pair)
        sign = 1 if metric.higher_is_better else -1
        tolerance = self.options.tolerance_of(metric.name)
        return [
            _Setting(
                metric,
                place,
                found[place],
                Sample(tuple(sign * (second - first) for first, second in found[place].values()), tolerance, share),
            )
            for place in sorted(found, key=lambda place: (order.index(place[0]), place[2], place[1] == "cod"))
        ]

    def comparison(self, judgements: Iterator[Judgement]) -> Comparison:
        """What is said of the pair; takes one judgement for each of :attr:`settings`."""
        differences: dict[str, list[Difference]] = {}
        for setting in self.settings:
            seeds, values = tuple(setting.values), tuple(setting.values.values())
            pairs = compare_pairs([second - first for first, second in values], setting.metric.higher_is_better)
            assert pairs is not None  # a setting has at least one pair of finite numbers
            made = Difference(*setting.place, seeds, values, pairs, next(judgements))
            differences.setdefault(setting.metric.name, []).append(made)
        compared = tuple(
            MetricComparison(metric, self.options.tolerance_of(metric.name), tuple(found), _overall(found, metric))
            for metric in self.metrics
            if (found := differences.get(metric.name))
        )
        settings = _differing_settings(self.pair.first, self.pair.second)
        missing = missing_cells(self.pair.first, self.pair.second, self.metrics)
        return Comparison(
            *self.pair.named,
            compared,
            settings,
            tuple(self._notes(bool(compared), [name for name, _, _ in settings])),
            missing,
            self.pair.title,
        )

    def _notes(self, compared: bool, settings: Sequence[str]) -> Iterator[str]:
        first, second, names = self.pair.first, self.pair.second, self.pair.named
        if not compared:
            yield _nothing_in_common(first, second, names, self.metrics, bool(self.common))
        for metric in self.metrics:
            if metric.higher_is_better != self.of_second[metric.name].higher_is_better:
                yield (
                    f"The runs disagree on whether a higher {metric.name} is better; this comparison follows "
                    f"{names[0]}."
                )
        different = [name for name in settings if name in DECIDES_WHAT_IS_MEASURED]
        if different and compared:
            yield (
                f"The runs were not measured in the same way (different {' and '.join(different)}), so the differences "
                "are not due to the students alone."
            )
        for name, mine, other in ((names[0], self.ours, self.theirs), (names[1], self.theirs, self.ours)):
            alone = sum(place not in other for place in mine)
            if alone and compared:
                yield f"{alone} {'cell' if alone == 1 else 'cells'} only in {name}, not compared."
        gone = no_longer_asked(first, second)
        if gone and compared:
            yield (
                f"Of these, {len(gone)} of {names[0]} {'is' if len(gone) == 1 else 'are'} not asked for by the recipe "
                f"of {names[1]}, and not counted as missing."
            )
        yield from self._repeated()

    def _repeated(self) -> Iterator[str]:
        same = [place for place in self.common if self.ours[place].key == self.theirs[place].key]
        unlike = [place for place in same if _unlike(self.ours[place], self.theirs[place])]
        if unlike:
            yield (
                f"{len(unlike)} of {len(same)} cells with the same key in both runs have different numbers: the same "
                "settings did not repeat exactly (another device, other versions, or code that changed while its "
                "component's `version` did not?)."
            )
        elif same:
            have = "cell has" if len(same) == 1 else "cells have"
            yield f"{len(same)} {have} the same key and the same numbers in both runs."


def _unlike(first: CellRow, second: CellRow) -> bool:
    return dict(first.metrics) != dict(second.metrics)


def _number(row: CellRow, metric: MetricRecord) -> float | None:
    value = row.metrics.get(metric.name, math.nan)
    return value if math.isfinite(value) else None


def _overall(differences: Sequence[Difference], metric: MetricRecord) -> PairedComparison:
    seeds: dict[int, list[float]] = {}
    for each in differences:
        for seed, (first, second) in zip(each.seeds, each.values, strict=True):
            seeds.setdefault(seed, []).append(second - first)
    overall = compare_pairs([fmean(seeds[seed]) for seed in sorted(seeds)], metric.higher_is_better)
    assert overall is not None
    return overall


def _refuse_unknown(options: CompareOptions, paired: Sequence[_Paired]) -> None:
    known = {metric.name for one in paired for metric in one.shared}
    for name in (*options.metrics, *options.tolerances):
        if name not in known:
            listed = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
            raise RecipeError(f"`{name}` was not measured in both runs; the metrics that were: {listed}")
    compared = {metric.name for one in paired for metric in one.metrics}
    for name in options.tolerances:
        if name not in compared:
            wanted = ",".join([*sorted(compared), name])
            raise RecipeError(f"`{name}` has a tolerance, but is not compared by; add `--metrics {wanted}`")


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
