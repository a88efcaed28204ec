"""What a page tells beside the tables: training sets, seeds, the run's facts and machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cod_runner.durations import in_words
from cod_runner.report.contents import Report
from cod_runner.report.protocol import without_folder
from cod_runner.report.table import MISSING, in_order


@dataclass(frozen=True)
class TrainingSet:
    """What one arm trained on at one k, as means over its cells; None if no cell records it."""

    arm: str
    k: int
    cells: int
    training_rows: float | None
    redrawn: float | None
    yield_: float | None
    steps: float | None


def training_sets(report: Report) -> list[TrainingSet]:
    arms = in_order(report.recipe.arms)
    places = sorted(
        {(row.arm, row.k) for row in report.rows if row.arm in arms}, key=lambda at: (arms.index(at[0]), at[1])
    )
    sets = []
    for arm, k in places:
        rows = [row for row in report.rows if (row.arm, row.k) == (arm, k)]

        def mean(values: Sequence[float | None]) -> float | None:
            known = [value for value in values if value is not None]
            return sum(known) / len(known) if known else None

        sets.append(
            TrainingSet(
                arm,
                k,
                len(rows),
                mean([row.training_rows for row in rows]),
                mean([row.redrawn for row in rows]),
                mean([row.yield_ for row in rows]),
                mean([row.steps for row in rows]),
            )
        )
    return sets


@dataclass(frozen=True)
class SeedLine:
    """One method, arm and k: the headline metric seed by seed."""

    method: str
    arm: str
    k: int
    values: list[float | None]


def by_seed(report: Report) -> list[SeedLine]:
    if not report.tables:
        return []
    metric = report.tables[0].metric.name
    values = {row.place: row.metrics.get(metric) for row in report.rows}
    return [
        SeedLine(method, arm, k, [values.get((method, arm, k, seed)) for seed in report.recipe.seeds])
        for method in report.recipe.methods
        for k in sorted(report.recipe.k)
        for arm in report.recipe.arms
    ]


def facts_of(report: Report) -> list[tuple[str, str]]:
    record = report.record
    facts = [("cells finished", f"{len(report.rows)}")]
    if record.teacher_accuracy is not None:
        facts.append(("teacher's accuracy", f"{record.teacher_accuracy:.3f}"))
    if record.seconds is not None:
        facts.append(("time", in_words(record.seconds)))
    if record.calls:
        cost = "unknown" if record.cost is None else f"${record.cost:.4f}"
        facts.append(("model calls", f"{record.calls:,} ({record.tokens:,} tokens), cost {cost}"))
    else:
        facts.append(("model calls", "none"))
    facts += [(name.replace("_", " "), number(value)) for name, value in record.data.items()]
    return facts


def machine_of(report: Report) -> list[tuple[str, str]]:
    record = report.record
    lines = [(name.replace("_", " "), str(value)) for name, value in record.machine.items() if value is not None]
    lines += [(name, version) for name, version in record.versions.items()]
    if record.git_commit:
        lines.append(("git commit", record.git_commit))
    for name, value in (("profile", record.profile), ("started", record.started), ("finished", record.finished)):
        if value:
            lines.append((name, value))
    return lines


def number(value: Any) -> str:
    """A number for a table: integers with commas, others to three digits, – for None."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def without_folders(value: Any) -> Any:
    """Cut absolute paths to their last part: a page that is passed on should not reveal the folders of this machine."""
    if isinstance(value, Mapping):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value
