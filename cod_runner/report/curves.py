"""Training curves: each loss term's weighted value over the steps, averaged over seeds."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from cod_runner.loss_terms import term_names
from cod_runner.recipe.grammar import Recipe
from cod_runner.report.table import in_order
from cod_runner.runs.records import CellRow

FOLDER = "training"
MOST_LINES = 1_000
"""Of one file; of a longer one every second line is read, or third, ..."""
LARGEST_FILE = 100_000_000
"""Bytes; a larger file is passed over."""
POINTS = 100
"""Of a curve at most; each is the mean over equally many steps."""

StepLosses = Mapping[int, Mapping[str, float]]
"""One cell's losses, unweighted, by step and term."""


@dataclass(frozen=True)
class TermCurve:
    """One term of a loss, times its weight."""

    term: str
    weight: float
    mean: tuple[float, ...]
    """Over seeds, at each of the curve's steps."""
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    """Of the seeds."""


@dataclass(frozen=True)
class TrainingCurve:
    """One method, arm and k."""

    method: str
    arm: str
    k: int
    seeds: int
    """Number of cells that have a curve."""
    steps: tuple[float, ...]
    """The middle of each point's steps."""
    terms: tuple[TermCurve, ...]
    """In the order of the recipe, without those of weight 0."""


def read_losses(folder: Path, rows: Iterable[CellRow]) -> dict[str, StepLosses]:
    """What ``folder/training`` holds of these cells, by key; a cell without a file of its own has none.

    Lines that are torn, of another key or not of the form are passed over: the folder may be a stranger's.
    """
    found: dict[str, StepLosses] = {}
    for row in rows:
        name = f"{row.name}.jsonl"
        if Path(name).name == name and "\\" not in name and (losses := _losses_of(folder / FOLDER / name, row.key)):
            found[row.key] = losses
    return found


def _losses_of(path: Path, key: str) -> dict[int, dict[str, float]]:
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_FILE:
            return {}
        lines = path.read_bytes().splitlines()
    except (OSError, ValueError):
        return {}
    losses = {}
    for line in _parsed([lines[place] for place in _some(len(lines))]):
        step, values = line.get("step"), line.get("losses")
        if line.get("key") == key and type(step) is int and step > 0 and isinstance(values, dict):
            losses[step] = {term: float(value) for term, value in values.items() if _is_finite(value)}
    return losses


def _some(count: int) -> Iterator[int]:
    """The places of at most :data:`MOST_LINES` of ``count`` lines, evenly, the last one among them."""
    apart = max(1, math.ceil(count / MOST_LINES))
    return iter(sorted(range(count - 1, -1, -apart)))


def _parsed(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """Each line's mapping; an empty one where it is none. All at once, which is faster, where they are as they should
    be."""
    try:
        together = json.loads(b"[%b]" % b",".join(lines))
    except (ValueError, RecursionError):
        together = []
    found = together if len(together) == len(lines) else map(_read, lines)
    return [each if isinstance(each, dict) else {} for each in found]


def _read(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def training_curves(recipe: Recipe, rows: Sequence[CellRow], losses: Mapping[str, StepLosses]) -> list[TrainingCurve]:
    """Every method, arm and k of which some cell has losses, in the order of the tables."""
    curves = []
    for method, k, arm in ((m, k, a) for m in recipe.methods for k in sorted(recipe.k) for a in in_order(recipe.arms)):
        cells = [
            losses[row.key] for row in rows if (row.method, row.arm, row.k) == (method, arm, k) if row.key in losses
        ]
        if cells:
            curves.append(_averaged(recipe, method, arm, k, cells))
    return [curve for curve in curves if curve.terms]


def weights_of(recipe: Recipe, method: str) -> dict[str, float]:
    """The weight of each term that trains, by its name in the log."""
    terms = [(loss.use, loss.weight) for loss in recipe.methods[method]]
    named = zip(term_names(terms), terms, strict=True)
    return {name: weight for name, (_, weight) in named if weight > 0}


def _averaged(recipe: Recipe, method: str, arm: str, k: int, cells: Sequence[StepLosses]) -> TrainingCurve:
    last = max(max(cell) for cell in cells)
    width = math.ceil(last / POINTS)
    points = sorted({(step - 1) // width for cell in cells for step in cell})
    terms = []
    for term, weight in weights_of(recipe, method).items():
        by_seed = [_in_points(cell, term, weight, width) for cell in cells]
        values = [[seed[point] for seed in by_seed if point in seed] for point in points]
        if all(values):
            terms.append(
                TermCurve(
                    term,
                    weight,
                    tuple(fmean(each) for each in values),
                    tuple(min(each) for each in values),
                    tuple(max(each) for each in values),
                )
            )
    middles = tuple((point * width + 1 + min((point + 1) * width, last)) / 2 for point in points)
    return TrainingCurve(method, arm, k, len(cells), middles, tuple(terms))


def _in_points(cell: StepLosses, term: str, weight: float, width: int) -> dict[int, float]:
    """The mean of the weighted term over the steps of each point."""
    if width == 1:
        return {step - 1: weight * values[term] for step, values in cell.items() if term in values}
    steps: dict[int, list[float]] = {}
    for step, values in cell.items():
        if term in values:
            steps.setdefault((step - 1) // width, []).append(weight * values[term])
    return {point: fmean(values) for point, values in steps.items()}
