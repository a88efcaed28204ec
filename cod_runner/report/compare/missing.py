"""Cells that one run measured and another lacks, although its recipe asks for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.records import CellRow, MetricRecord

Place = tuple[str, str, int, int]
"""(method, arm, k, seed)."""


@dataclass(frozen=True)
class MissingCell:
    """A cell that the first run measured and the second did not."""

    method: str
    arm: str
    k: int
    seed: int
    why: str
    """``left out``, since its training set could not be drawn; ``failed: <cause>``; ``not finished``, where it has not
    run; or ``no number``, where the run measured it, but not by every metric."""


def missing_cells(first: RunFiles, second: RunFiles, metrics: Sequence[MetricRecord]) -> tuple[MissingCell, ...]:
    """Every such cell that the second run's recipe asks for, in the order of the first run."""
    theirs = {row.place: row for row in second.rows}
    left_out = {(one.arm, one.k, seed) for one in second.record.left_out for seed in one.seeds}
    failed = {(each.method, each.arm, each.k, each.seed): each.cause for each in second.record.failed}
    missing = []
    for row in first.rows:
        if row.place not in theirs:
            if _asks_for(second.recipe, row.place):
                why = "left out" if row.place[1:] in left_out else "not finished"
                why = f"failed: {failed[row.place]}" if row.place in failed else why
                missing.append(MissingCell(*row.place, why))
        elif any(_finite(row, metric) and not _finite(theirs[row.place], metric) for metric in metrics):
            missing.append(MissingCell(*row.place, "no number"))
    return tuple(missing)


def no_longer_asked(first: RunFiles, second: RunFiles) -> list[Place]:
    """The first run's cells that the second run neither has nor should have."""
    theirs = {row.place for row in second.rows}
    return [row.place for row in first.rows if row.place not in theirs and not _asks_for(second.recipe, row.place)]


def missing_in_words(missing: Sequence[MissingCell]) -> list[str]:
    """``kd, cod, k = 16, seeds 0, 1 (left out)``, one for each method, arm, k and cause."""
    seeds: dict[tuple[str, str, int, str], list[int]] = {}
    for each in missing:
        seeds.setdefault((each.method, each.arm, each.k, each.why), []).append(each.seed)
    return [
        f"{method}, {arm}, k = {k}, seed{'' if len(of) == 1 else 's'} {', '.join(map(str, of))} ({why})"
        for (method, arm, k, why), of in seeds.items()
    ]


def _asks_for(recipe: Recipe, place: Place) -> bool:
    method, arm, k, seed = place
    return method in recipe.methods and arm in recipe.arms and k in recipe.k and seed in recipe.seeds


def _finite(row: CellRow, metric: MetricRecord) -> bool:
    return math.isfinite(row.metrics.get(metric.name, math.nan))
