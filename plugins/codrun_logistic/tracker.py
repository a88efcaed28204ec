"""Measures the logistic students of a run and simulates Theorem 1 over a grid."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cod_runner.api import BuildContext, Classifier, CodrunError, Example, SettingError, hookimpl, one_thread
from codrun_logistic.drawing import draw
from codrun_logistic.estimation import errors_of
from codrun_logistic.plugin import Theorem1Options
from codrun_logistic.report import StudentErrors, summary_text
from codrun_logistic.simulation import simulate

NEEDS_A_LINEAR_TEACHER = (
    "the tracker `theorem1` needs a linear teacher of two classes over vectors: `use: mlp` with `hidden: []` and "
    "`margin_weights`; or remove it from `trackers`"
)
NEEDS_A_LOGISTIC_STUDENT = "the tracker `theorem1` needs a logistic student: `use: mlp` with `hidden: []`"


class Theorem1:
    """Writes ``theory.md``, ``theory.json`` and ``figures/theorem1-d<dimension>.png`` into the run's folder."""

    def __init__(self, options: Theorem1Options, context: BuildContext) -> None:
        self.options = options
        self._truth = torch.empty(0)
        self._say = context.say

    @hookimpl
    def codrun_run_started(self, recipe: Mapping[str, Any]) -> None:
        """Refuse what can be refused before the teacher is trained."""
        student = recipe.get("student", {"use": "mlp"})
        if student["use"] != "mlp" or student.get("hidden"):
            raise SettingError(NEEDS_A_LOGISTIC_STUDENT)
        teacher = recipe.get("teacher", {"use": "mlp"})
        if teacher["use"] == "mlp" and teacher.get("hidden"):
            raise SettingError(NEEDS_A_LINEAR_TEACHER)

    @hookimpl
    def codrun_teacher_ready(self, teacher: Classifier, pool: Sequence[Example]) -> None:
        """A linear teacher's margin has the same slope everywhere, which is w_t."""
        inputs = [example.input for example in pool[:2]]
        if not hasattr(teacher, "attribution"):  # it only answers
            raise SettingError(NEEDS_A_LINEAR_TEACHER)
        slopes = [[part.score for part in one] for one in teacher.attribution(inputs, [1] * len(inputs))]
        if len(teacher.labels) != 2 or isinstance(inputs[0], str) or slopes[0] != slopes[-1] or not any(slopes[0]):
            raise SettingError(NEEDS_A_LINEAR_TEACHER)
        self._truth = torch.tensor(slopes[0], dtype=torch.float64)

    @hookimpl
    def codrun_run_finished(self, summary: Mapping[str, Any], folder: Path) -> None:
        students = []
        gone = set(summary.get("not_kept", ())) & set(summary["cell_keys"])
        for row in _rows(folder / "cells.jsonl", set(summary["cell_keys"]) - gone):
            name = f"{row['method']}-{row['arm']}-k{row['k']}-s{row['seed']}"
            estimate = student_weights(folder / "students" / name)
            errors = errors_of(estimate[None], self._truth)
            of_parts = {part: getattr(errors, part).item() for part in ("along", "orthogonal", "total")}
            students.append(StudentErrors(row["method"], row["arm"], row["k"], row["seed"], **of_parts))
        grid = self.options
        # Thousands of tiny products take longer to distribute over threads than to compute.
        with one_thread():
            points = simulate(grid.norms, grid.dimensions, grid.overshoots, grid.k, grid.repeats, grid.seed)
        text = summary_text(students, self._truth.norm().item(), len(self._truth), points, grid.k, grid.repeats)
        if gone:
            sentence = (
                f"the tracker `theorem1` measures {len(students)} of {len(students) + len(gone)} students: the others "
                "are not kept; `students: all` keeps them"
            )
            self._say(sentence)
            text += f"\n{sentence}\n"
        (folder / "theory.md").write_text(text, encoding="utf-8")
        told = {"students": [asdict(one) for one in students], "grid": [asdict(point) for point in points]}
        (folder / "theory.json").write_text(json.dumps(_finite(told), indent=2) + "\n", encoding="utf-8")
        for dimension in grid.dimensions:
            chosen = [point for point in points if point.dimension == dimension]
            draw(folder / "figures" / f"theorem1-d{dimension}.png", chosen)


def student_weights(folder: Path) -> Tensor:
    """w of a saved logistic student: the difference of its two logits' weights, ``[d]``; its intercept is ignored."""
    weights = load_file(folder / "model.safetensors")
    if set(weights) != {"head.weight", "head.bias"} or len(weights["head.weight"]) != 2:
        raise CodrunError(NEEDS_A_LOGISTIC_STUDENT)
    below, above = weights["head.weight"].double()
    return above - below


def _rows(path: Path, keys: set[str]) -> list[dict[str, Any]]:
    """The last complete line per key."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["key"] in keys:
            found[row["key"]] = row
    return list(found.values())


def _finite(value: Any) -> Any:
    """JSON holds neither infinity nor NaN; both become None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
