"""What a run has to show in a tracker: curves, metrics, settings, tables and counterfactuals, read from its folder."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.api import SettingError, term_names

TRAINING = "training"
"""The run's folder of training curves."""
DECIDES = ("dataset", "teacher", "student", "counterfactuals", "train", "evaluate")
"""Sections of a recipe that are a cell's settings, beside the losses of its method."""
GALLERY = {
    "original": "original",
    "counterfactual": "counterfactual",
    "from_label": "from",
    "label": "to",
    "teacher_before": "teacher before",
    "teacher_after": "teacher after",
    "verified": "verified",
    "edits": "edits",
    "generator": "generator",
}
"""Keys of a line of ``counterfactuals.jsonl``, with their headings."""


@dataclass(frozen=True)
class Point:
    """A step of a cell's training."""

    step: int
    losses: Mapping[str, float]
    """Each term's unweighted mean, and ``total``: their sum, each times its weight."""


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers under headings."""

    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Contents:
    """One run: its resolved recipe as plain data, and its folder."""

    recipe: Mapping[str, Any]
    folder: Path

    def rows(self, keys: Collection[str]) -> list[dict[str, Any]]:
        """The last line of ``cells.jsonl`` of each of these cells that is finished."""
        found = {line["key"]: line for line in _lines(self.folder / "cells.jsonl") if line.get("key") in keys}
        return list(found.values())

    def curve(self, row: Mapping[str, Any]) -> list[Point]:
        """The training of a cell, as far as its file has it; empty where there is none."""
        terms = [(term["use"], term["weight"]) for term in self.recipe["methods"][row["method"]]]
        weights = dict(zip(term_names(terms), (weight for _, weight in terms), strict=True))
        points = []
        for line in _lines(self.folder / TRAINING / f"{cell_name(row)}.jsonl"):
            if line.get("key") != row["key"] or not isinstance(line.get("losses"), dict):
                continue
            losses = {name: float(value) for name, value in line["losses"].items()}
            total = sum(weights.get(name, 0.0) * value for name, value in losses.items())
            points.append(Point(int(line["step"]), {**losses, "total": total}))
        return points

    def metrics(self, row: Mapping[str, Any]) -> dict[str, float]:
        """Every finite number of a cell's line: the recipe's metrics, and what else was counted and measured."""
        names = [name for name in row if name not in ("k", "seed")]
        return {name: float(row[name]) for name in names if is_number(row[name])}

    def settings(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What decides a cell, flat: its place, and ``train.lr`` and the like."""
        place = {name: row[name] for name in ("method", "arm", "k", "seed")}
        sections = {name: self.recipe[name] for name in DECIDES if self.recipe.get(name) is not None}
        losses = self.recipe["methods"][row["method"]]
        named = term_names((term["use"], term["weight"]) for term in losses)
        return {**place, **flat({**sections, "losses": dict(zip(named, losses, strict=True))})}

    def gallery(self) -> Table:
        """The counterfactuals, found or not."""
        rows = [[_shown(line.get(key)) for key in GALLERY] for line in _lines(self.folder / "counterfactuals.jsonl")]
        return Table(list(GALLERY.values()), rows)

    def table(self) -> Table:
        """``table.csv``."""
        with (self.folder / "table.csv").open(encoding="utf-8", newline="") as file:
            columns, *rows = list(csv.reader(file)) or [[]]
        return Table(columns, [[_number_or_text(each) for each in row] for row in rows])

    def text(self, name: str) -> str:
        """One of the run's files."""
        return (self.folder / name).read_text(encoding="utf-8")


def cell_name(row: Mapping[str, Any]) -> str:
    """The name of a cell's files; method and arm are checked names of the recipe."""
    return f"{row['method']}-{row['arm']}-k{row['k']}-s{row['seed']}"


def need(module: str, tracker: str) -> None:
    """Raise :class:`SettingError` where a tracker's library is not installed."""
    if importlib.util.find_spec(module) is None:
        raise SettingError(
            f"the tracker `{tracker}` needs the package {module}, which is not installed; run "
            f'`pip install "codrun[{tracker}]"`, or take it out of `trackers`'
        )


def flat(section: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested sections as one, keys joined by dots; what is not set is left out."""
    found: dict[str, Any] = {}
    items: Sequence[tuple[str, Any]] = list(section.items())
    for name, value in items:
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            found |= flat({str(place): each for place, each in enumerate(value)}, f"{before}{name}.")
        elif value is not None:
            found[f"{before}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return found


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; none where there is none."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        if isinstance(found, dict):
            yield found


def _shown(value: Any) -> Any:
    """A value of a table: text, number or truth value; anything else as JSON."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)


def _number_or_text(value: str) -> float | str:
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value
