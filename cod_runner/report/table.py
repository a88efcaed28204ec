"""The table in the poster's form, as data: methods by k, +CoD under its baseline. Renderers decide how it looks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from cod_runner.recipe.arms import COD, CONTROL, PLAIN
from cod_runner.report.statistics import PairedComparison, Summary, compare_pairs, summarise
from cod_runner.runs.records import CellRow, MetricRecord

ACCURACY, AGREEMENT = "accuracy", "agreement"
"""What few-shot distillation is judged by: the only metrics that a report knows by name."""
HEADLINES = (ACCURACY, AGREEMENT)
DECIMALS = 3
"""Decimal places shown; numbers that are equal to this many are a tie."""
OPTIMISTIC, UNVERIFIED = "†", "‡"
MISSING = "–"
RIVALS: dict[str, str] = {PLAIN: COD, COD: PLAIN}
"""The two arms, the better of which is set in bold."""


def arm_name(arm: str) -> str:
    """``plain``, ``+CoD``, and any other with a plus."""
    return {PLAIN: PLAIN, COD: "+CoD"}.get(arm, f"+{arm}")


def in_order(arms: Iterable[str]) -> list[str]:
    """The arms as tables list them: the baseline, the control, CoD, and the others in their order."""
    known = (PLAIN, CONTROL, COD)
    arms = list(arms)
    return [*(arm for arm in known if arm in arms), *(arm for arm in arms if arm not in known)]


def headline_metrics(measured: Sequence[MetricRecord]) -> list[MetricRecord]:
    """Accuracy and agreement, in this order; if neither was measured, everything that was."""
    by_name = {metric.name: metric for metric in measured}
    return [by_name[name] for name in HEADLINES if name in by_name] or list(measured)


@dataclass(frozen=True)
class TableCell:
    """One number of a table, with the marks that it needs."""

    summary: Summary | None
    """None: no finished cell."""
    better: bool = False
    """Whether it is the better of a baseline and its +CoD, over the same seeds."""
    optimistic: bool = False
    unverified: bool = False
    seeds_expected: int = 0

    @property
    def marks(self) -> str:
        return (OPTIMISTIC if self.optimistic else "") + (UNVERIFIED if self.unverified else "")

    @property
    def some_missing(self) -> bool:
        """Whether some seeds of the recipe are unfinished, so that n must be shown."""
        return self.summary is not None and self.summary.n < self.seeds_expected


@dataclass(frozen=True)
class TableRow:
    """The teacher, or one arm of one method."""

    label: str
    kind: str
    """The arm, or ``teacher``."""
    method: str
    cells: tuple[TableCell, ...]
    """One per k of the table."""


@dataclass(frozen=True)
class Table:
    """One metric's table."""

    metric: MetricRecord
    k: tuple[int, ...]
    rows: tuple[TableRow, ...]
    seeds: tuple[int, ...]
    """Every seed that some cell has."""
    copies: bool = False
    """Whether its arm ``control`` is the one that this name alone stands for."""

    @property
    def cells(self) -> Iterable[TableCell]:
        return (cell for row in self.rows for cell in row.cells)

    @property
    def footnotes(self) -> tuple[str, ...]:
        """What the marks, bold numbers and dashes of this table mean; only those that occur in it."""
        cells = list(self.cells)
        seeds = ", ".join(str(seed) for seed in self.seeds)
        notes = []
        if len(self.seeds) > 1:
            notes.append(f"Mean ± sample standard deviation over {len(self.seeds)} seeds ({seeds}).")
        elif self.seeds:
            notes.append(f"One seed ({seeds}): a single number has no deviation and settles nothing.")
        if any(cell.some_missing for cell in cells):
            notes.append("(n = …): fewer seeds than the recipe asks for are finished.")
        if any(cell.better for cell in cells):
            notes.append("Bold: the better one of a method and its +CoD, where both have the same seeds.")
        if self.copies:
            notes.append("+control: half of the examples are copies of the others that do not flip the teacher.")
        if any(cell.summary is None for row in self.rows if row.kind != "teacher" for cell in row.cells):
            notes.append(f"{MISSING}: no finished cell.")
        if any(cell.optimistic for cell in cells):
            notes.append(f"{OPTIMISTIC} optimistic: the checkpoint was chosen on the very split that is reported.")
        if any(cell.unverified for cell in cells):
            notes.append(f"{UNVERIFIED} unverified: trained on counterfactuals that the teacher did not confirm.")
        return tuple(notes)


def result_table(
    rows: Sequence[CellRow],
    teacher_accuracy: float | None,
    metric: MetricRecord,
    *,
    methods: Sequence[str] | None = None,
    k: Sequence[int] | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    floor: Collection[str] = (),
    floor_from_teacher: bool = False,
    optimistic: bool = False,
    unverified: Collection[str] = (),
    copies: bool = True,
) -> Table:
    """The table of ``metric``.

    ``methods``, ``k``, ``arms`` and ``seeds`` are what the recipe asks for, so that gaps are visible; without them
    they are taken from the rows. ``floor`` names the methods that learn without a teacher; they come last.
    ``floor_from_teacher`` says that their students start from the teacher's weights all the same. ``unverified`` names
    the arms that train on counterfactuals which the teacher did not confirm.
    ``teacher_accuracy`` is the ceiling; it is shown for accuracy only.
    """
    methods = list(dict.fromkeys(row.method for row in rows)) if methods is None else list(methods)
    columns = tuple(sorted({row.k for row in rows} if k is None else set(k)))
    arms = list(dict.fromkeys(row.arm for row in rows)) if arms is None else list(arms)
    expected = len({row.seed for row in rows} if seeds is None else set(seeds))
    found: dict[tuple[str, str, int], dict[int, CellRow]] = {}
    for row in rows:
        if metric.name in row.metrics:
            found.setdefault((row.method, row.arm, row.k), {})[row.seed] = row

    def cell(method: str, arm: str, column: int) -> TableCell:
        mine = found.get((method, arm, column), {})
        other = found.get((method, RIVALS[arm], column), {}) if arm in RIVALS else {}
        summary = _summary(mine, metric)
        return TableCell(
            summary=summary,
            better=set(mine) == set(other) and _is_better(summary, _summary(other, metric), metric),
            optimistic=bool(mine) and (optimistic or any(row.select == "best_reported" for row in mine.values())),
            unverified=bool(mine) and arm in unverified,
            seeds_expected=expected,
        )

    table_rows = []
    if metric.name == ACCURACY and teacher_accuracy is not None:
        ceiling = TableCell(summarise([teacher_accuracy]))
        table_rows.append(TableRow("teacher (ceiling)", "teacher", "", tuple(ceiling for _ in columns)))
    for method in sorted(methods, key=lambda name: name in floor):
        for arm in in_order(arms):
            label = method + (f" ({floor_in_words(floor_from_teacher)})" if method in floor else "")
            if arm != PLAIN:
                label = arm_name(arm) if PLAIN in arms else f"{method} {arm_name(arm)}"
            table_rows.append(TableRow(label, arm, method, tuple(cell(method, arm, column) for column in columns)))
    seen = sorted({seed for place in found.values() for seed in place})
    return Table(metric, columns, tuple(table_rows), tuple(seen), copies and CONTROL in arms)


def floor_in_words(from_teacher: bool) -> str:
    """What a method that learns without a teacher is called."""
    return "no teacher in the loss, but a student cut from it" if from_teacher else "no teacher, floor"


def _summary(rows: dict[int, CellRow], metric: MetricRecord) -> Summary | None:
    return summarise([rows[seed].metrics[metric.name] for seed in sorted(rows)])


def _is_better(mine: Summary | None, other: Summary | None, metric: MetricRecord) -> bool:
    if mine is None or other is None or not (math.isfinite(mine.mean) and math.isfinite(other.mean)):
        return False
    difference = round(mine.mean, DECIMALS) - round(other.mean, DECIMALS)
    return difference > 0 if metric.higher_is_better else difference < 0


@dataclass(frozen=True)
class Gain:
    """What CoD changed for one method at one k: cod minus plain (or another arm), seed by seed."""

    metric: MetricRecord
    method: str
    k: int
    pairs: PairedComparison
    seeds: tuple[int, ...]
    """Those that both arms have."""
    differences: tuple[float, ...]
    """One per seed, in their order."""
    over: str = PLAIN
    """The arm that CoD is compared with."""

    @property
    def outcome(self) -> Literal["better", "equal", "worse"]:
        """By the mean as shown: one that rounds to 0 is equal."""
        mean = round(self.pairs.summary.mean, DECIMALS) * (1 if self.metric.higher_is_better else -1)
        return "better" if mean > 0 else "worse" if mean < 0 else "equal"


def paired_gains(rows: Sequence[CellRow], metric: MetricRecord, over: str = PLAIN) -> list[Gain]:
    """CoD's gain over another arm for every method and k with a seed that both arms have, in the order of the rows."""
    values: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    for row in rows:
        if metric.name in row.metrics:
            values.setdefault((row.method, row.k), {}).setdefault(row.arm, {})[row.seed] = row.metrics[metric.name]
    order = list(dict.fromkeys(row.method for row in rows))
    gains = []
    for method, k in sorted(values, key=lambda place: (order.index(place[0]), place[1])):
        arms = values[method, k]
        other, cod = arms.get(over, {}), arms.get(COD, {})
        common = sorted(
            seed for seed in set(other) & set(cod) if math.isfinite(other[seed]) and math.isfinite(cod[seed])
        )
        differences = tuple(cod[seed] - other[seed] for seed in common)
        pairs = compare_pairs(differences, metric.higher_is_better)
        if pairs is not None:
            gains.append(Gain(metric, method, k, pairs, tuple(common), differences, over))
    return gains


def pooled(gains: Sequence[Gain]) -> PairedComparison | None:
    """All settings together, seed by seed: each seed's mean over the settings; of the seeds that all of them have."""
    if not gains:
        return None
    common = sorted(set.intersection(*(set(gain.seeds) for gain in gains)))
    by_seed = [dict(zip(gain.seeds, gain.differences, strict=True)) for gain in gains]
    means = [fmean(values[seed] for values in by_seed) for seed in common]
    return compare_pairs(means, gains[0].metric.higher_is_better)


def gains_in_words(gains: Sequence[Gain]) -> str:
    """One sentence on how many settings CoD was better, equal and worse in; ties as rounded in the table."""
    if not gains:
        return "No method has finished both arms for any seed yet, so there is no gain to report."
    metric, over = gains[0].metric, gains[0].over
    if any(gain.over != over for gain in gains):
        return _better_in_words(gains)
    outcomes = Counter(gain.outcome for gain in gains)
    than = "" if over == PLAIN else f" than {arm_name(over)}"
    return (
        f"By mean {metric.name} +CoD is better{than} in {outcomes['better']}, equal in {outcomes['equal']} and "
        f"worse in {outcomes['worse']} of {len(gains)} settings (method x k)."
    )


def _better_in_words(gains: Sequence[Gain]) -> str:
    """``By mean accuracy +CoD is better than +control in 3 of 4, than +near_miss in 2 of 4 settings (method x k).``"""
    arms = list(dict.fromkeys(gain.over for gain in gains))
    outcomes = {arm: [gain.outcome for gain in gains if gain.over == arm] for arm in arms}
    counts = [f"than {arm_name(arm)} in {each.count('better')} of {len(each)}" for arm, each in outcomes.items()]
    return f"By mean {gains[0].metric.name} +CoD is better {', '.join(counts)} settings (method x k)."
