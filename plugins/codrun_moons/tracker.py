"""Follows a run in the plane: draws both boundaries and measures Theorem 2's quantities, for every student."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import BuildContext, Classifier, Example, SettingError, append_line, hookimpl
from codrun_moons.classifier import MLP, saved
from codrun_moons.drawing import Panel, draw
from codrun_moons.geometry import Margin, Window, boundary_points, hausdorff, mean_distance, proximity
from codrun_moons.plugin import BoundariesOptions
from codrun_moons.report import CellMeasures, summary_text

NEEDS_THE_PLANE = (
    "the tracker `boundaries` draws two classes in the plane: it needs a teacher and a student `mlp` with `inputs: 2`; "
    "or remove it from `trackers`"
)


class Boundaries:
    """Writes ``figures/boundaries-<method>-k<k>.png``, ``theory.json`` and ``theory.md`` into the run's folder.

    Each cell's training set is recorded in ``theory/training.jsonl``, so that a resumed run is drawn in full.
    """

    def __init__(self, options: BoundariesOptions, context: BuildContext) -> None:
        self.options = options
        self._teacher: MLP | None = None
        self._pool: Sequence[Example] = ()
        self._noted = Path()
        self._say = context.say

    @hookimpl
    def codrun_run_started(self, recipe: Mapping[str, Any], folder: Path) -> None:
        models = [recipe[name] for name in ("teacher", "student") if name in recipe]
        if any((model["use"], model.get("inputs")) != ("mlp", 2) for model in models):
            raise SettingError(NEEDS_THE_PLANE)
        self._noted = folder / "theory" / "training.jsonl"

    @hookimpl
    def codrun_teacher_ready(self, teacher: Classifier, pool: Sequence[Example]) -> None:
        if not isinstance(teacher, MLP) or teacher.options.inputs != 2 or len(teacher.labels) != 2:
            raise SettingError(NEEDS_THE_PLANE)
        self._teacher = copy.deepcopy(teacher).cpu()
        self._pool = pool

    @hookimpl
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        rows = [[row.id, row.input, row.label, row.partner, row.is_counterfactual] for row in training]
        append_line(self._noted, json.dumps({"key": cell["key"], "training": rows}))

    @hookimpl
    def codrun_run_finished(self, summary: Mapping[str, Any], folder: Path) -> None:
        assert self._teacher is not None
        teacher = margin_of(self._teacher)
        window = self.options.window or bounding_box(self._pool)
        boundary = boundary_points(teacher, window, self.options.grid)
        not_kept = set(summary.get("not_kept", ()))
        rows = _finished(folder, summary["cell_keys"])
        panels = [self._panel(row, folder, teacher, boundary, window) for row in rows if row["key"] not in not_kept]
        measured = [panel.measures for panel in panels]
        spacing = max((high - low) / (self.options.grid - 1) for low, high in window)
        told = {"window": window, "grid_spacing": spacing, "cells": [one.as_json() for one in measured]}
        (folder / "theory.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        text = summary_text(measured, window, spacing)
        if len(measured) < len(rows):
            sentence = (
                f"the tracker `boundaries` measures and draws {len(measured)} of {len(rows)} students: the others are "
                "not kept; `students: all` keeps them"
            )
            self._say(sentence)
            text += f"\n{sentence}\n"
        (folder / "theory.md").write_text(text, encoding="utf-8")
        for method, k in dict.fromkeys((each.method, each.k) for each in measured):
            drawn = [panel for panel in panels if (panel.measures.method, panel.measures.k) == (method, k)]
            figure = folder / "figures" / f"boundaries-{method}-k{k}.png"
            draw(figure, drawn, teacher, self._pool, window, self._teacher.labels)

    def _panel(self, row: Mapping[str, Any], folder: Path, teacher: Margin, boundary: Tensor, window: Window) -> Panel:
        """A cell's student, measured; ``row`` is its line with the training set, ``boundary`` the teacher's."""
        training = [Example(name, tuple(at), *rest) for name, at, *rest in row["training"]]
        name = f"{row['method']}-{row['arm']}-k{row['k']}-s{row['seed']}"
        student = margin_of(saved(folder / "students" / name))
        measures = measure(row, training, teacher, student, boundary, window, self.options.grid)
        return Panel(measures, training, student)


def _finished(folder: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of the cells that are finished, each with its training set, where that was recorded."""
    rows, training = _lines_by_key(folder / "cells.jsonl"), _lines_by_key(folder / "theory" / "training.jsonl")
    return [{**rows[key], **training[key]} for key in keys if key in rows and key in training]


def margin_of(classifier: MLP) -> Margin:
    """Signed margin of class 1 over class 0 at points of the plane, in float64."""
    precise = copy.deepcopy(classifier).double().eval()

    @torch.no_grad()
    def margin(points: Tensor) -> Tensor:
        logits = precise({"vectors": points}).logits
        return logits[:, 1] - logits[:, 0]

    return margin


def bounding_box(pool: Sequence[Example]) -> Window:
    """The smallest upright rectangle around the data."""
    points = [example.input for example in pool if isinstance(example.input, tuple)]
    (left, right), (low, high) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    return (left, right), (low, high)


def measure(
    row: Mapping[str, Any],
    training: Sequence[Example],
    teacher: Margin,
    student: Margin,
    teacher_boundary: Tensor,
    window: Window,
    grid: int,
) -> CellMeasures:
    """Everything that is measured of one student; Theorem 2's quantities only if it trained on pairs."""
    student_boundary = boundary_points(student, window, grid)
    by_id = {example.id: example for example in training}
    pairs = [
        [by_id[example.partner].input, example.input]
        for example in training
        if example.is_counterfactual and example.partner in by_id
    ]
    return CellMeasures(
        method=row["method"],
        arm=row["arm"],
        k=row["k"],
        seed=row["seed"],
        agreement=row.get("agreement", math.nan),
        hausdorff=hausdorff(teacher_boundary, student_boundary),
        mean_distance=mean_distance(teacher_boundary, student_boundary),
        proximity=proximity(
            teacher, student, teacher_boundary, student_boundary, torch.tensor(pairs, dtype=torch.float64)
        )
        if pairs
        else None,
    )


def _lines_by_key(path: Path) -> dict[str, dict[str, Any]]:
    """The last complete line per key; a line cut off by a kill is skipped."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            one = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[one["key"]] = one
    return found
