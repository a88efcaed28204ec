"""The tracker, driven by the hooks as a run drives them, on students whose boundaries are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from cod_runner.api import BuildContext, Example, SettingError
from cod_runner.registry import Registry
from codrun_moons.classifier import MLP
from codrun_moons.plugin import BoundariesOptions, MLPOptions
from codrun_moons.tracker import Boundaries

torch.set_num_threads(1)

LABELS = ("left", "right")
WINDOW = ((-1.0, 1.0), (-1.0, 1.0))
POOL = [
    Example(str(row), (x, y), int(x > 0)) for row, (x, y) in enumerate([(-1, -1), (1, 1), (-0.5, 0.5), (0.5, -0.5)])
]


def boundary_at(x: float) -> MLP:
    """A logistic classifier whose boundary is the vertical line through ``x``."""
    classifier = MLP(MLPOptions(hidden=[], margin_weights=[2.0, 0.0]), LABELS)
    with torch.no_grad():
        classifier.head.bias.copy_(torch.tensor([x, -x]))
    return classifier


def pairs() -> list[Example]:
    rows = []
    for number, y in enumerate((-0.5, 0.5)):
        rows.append(Example(f"{number}", (-0.4, y), 0, partner=f"{number}~cf"))
        rows.append(Example(f"{number}~cf", (0.4, y), 1, partner=f"{number}", is_counterfactual=True))
    return rows


def run(folder: Path, students: dict[str, tuple[float, list[Example]]]) -> Registry:
    registry = Registry()
    registry.attach("boundaries", Boundaries(BoundariesOptions(grid=101, window=WINDOW), BuildContext()))
    registry.hook.codrun_run_started(recipe={}, cells=len(students), folder=folder)
    registry.hook.codrun_teacher_ready(teacher=boundary_at(0.0), pool=POOL)
    rows = []
    for arm, (at, training) in students.items():
        cell = {"key": f"key-{arm}", "method": "kd", "arm": arm, "k": 4, "seed": 0}
        registry.hook.codrun_cell_started(cell=cell, training=training)
        boundary_at(at).save(folder / "students" / f"kd-{arm}-k4-s0")
        rows.append(json.dumps({**cell, "agreement": 0.9}))
    (folder / "cells.jsonl").write_text("\n".join([*rows, '{"torn']))
    summary = {"cell_keys": ["key-plain", "key-cod", "never-run"]}
    registry.hook.codrun_run_finished(summary=summary, folder=folder)
    return registry


def test_a_run_writes_figure_numbers_and_words(tmp_path: Path) -> None:
    run(tmp_path, {"plain": (0.3, POOL), "cod": (0.1, pairs())})
    told = json.loads((tmp_path / "theory.json").read_text())
    plain, cod = told["cells"]
    assert plain["hausdorff"] == pytest.approx(0.3, abs=1e-6)
    assert plain["proximity"] is None
    assert cod["hausdorff"] == pytest.approx(0.1, abs=1e-6)
    assert cod["proximity"]["alpha"] == pytest.approx(0.8)
    assert cod["proximity"]["epsilon"] == pytest.approx(0.5, abs=1e-6)
    assert cod["proximity"]["bound"] == pytest.approx(1.3, abs=1e-6)
    assert (cod["proximity"]["matched"], cod["proximity"]["crossed"]) == (2, 2)
    text = (tmp_path / "theory.md").read_text()
    assert "| kd | 4 | cod | 0.900 | 0.100 | 0.100 | 0.800 | 0.500 | 1.300 | 1 of 1 |" in text
    assert "| kd | 4 | plain | 0.900 | 0.300 | 0.300 | – | – | – | no pairs |" in text
    assert "smaller for 1 of 1 seeds" in text
    assert (tmp_path / "figures" / "boundaries-kd-k4.png").read_bytes()[:4] == b"\x89PNG"


def test_a_student_without_a_boundary_is_reported_as_one(tmp_path: Path) -> None:
    run(tmp_path, {"cod": (5.0, pairs())})
    (cod,) = json.loads((tmp_path / "theory.json").read_text())["cells"]
    assert cod["hausdorff"] is None and cod["proximity"]["epsilon"] is None
    text = (tmp_path / "theory.md").read_text()
    assert "∞" in text and "says nothing for 1 of 1" in text and "on 0 of 2 pairs" in text


def test_a_resumed_run_is_drawn_in_full(tmp_path: Path) -> None:
    run(tmp_path, {"plain": (0.3, POOL)})
    earlier = (tmp_path / "cells.jsonl").read_text().splitlines()[0]
    registry = Registry()
    registry.attach("boundaries", Boundaries(BoundariesOptions(grid=51), BuildContext()))
    registry.hook.codrun_run_started(recipe={}, cells=1, folder=tmp_path)
    registry.hook.codrun_teacher_ready(teacher=boundary_at(0.0), pool=POOL)
    cell = {"key": "key-cod", "method": "kd", "arm": "cod", "k": 4, "seed": 0}
    registry.hook.codrun_cell_started(cell=cell, training=pairs())
    boundary_at(0.1).save(tmp_path / "students" / "kd-cod-k4-s0")
    (tmp_path / "cells.jsonl").write_text(earlier + "\n" + json.dumps({**cell, "agreement": 1.0}))
    registry.hook.codrun_run_finished(summary={"cell_keys": ["key-plain", "key-cod"]}, folder=tmp_path)
    told = json.loads((tmp_path / "theory.json").read_text())
    assert [one["arm"] for one in told["cells"]] == ["plain", "cod"]
    assert told["window"] == [[-1, 1], [-1, 1]], "without an option, the data's bounding box"


def test_a_training_set_that_a_kill_tore_costs_no_later_one(tmp_path: Path) -> None:
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory" / "training.jsonl").write_text('{"key": "key-of-a-killed-cell", "trai')
    run(tmp_path, {"plain": (0.3, POOL)})
    assert [one["arm"] for one in json.loads((tmp_path / "theory.json").read_text())["cells"]] == ["plain"]


def test_only_the_plane_can_be_drawn() -> None:
    registry = Registry()
    registry.attach("boundaries", Boundaries(BoundariesOptions(), BuildContext()))
    with pytest.raises(SettingError, match="two classes in the plane"):
        registry.hook.codrun_teacher_ready(teacher=MLP(MLPOptions(inputs=3), LABELS), pool=POOL)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ({"use": "mlp", "inputs": 3}, {"use": "mlp", "inputs": 2}),
        ({"use": "mlp", "inputs": 2}, {"use": "transformers"}),
    ],
)
def test_a_recipe_of_other_models_is_refused_before_the_teacher_trains(
    tmp_path: Path, teacher: dict[str, Any], student: dict[str, Any]
) -> None:
    tracker = Boundaries(BoundariesOptions(), BuildContext())
    with pytest.raises(SettingError, match="two classes in the plane"):
        tracker.codrun_run_started(recipe={"teacher": teacher, "student": student}, folder=tmp_path)
    plane = {"use": "mlp", "inputs": 2}
    tracker.codrun_run_started(recipe={"teacher": plane, "student": plane}, folder=tmp_path)


def test_the_bound_is_checked() -> None:
    from codrun_moons.geometry import Proximity
    from codrun_moons.report import CellMeasures

    def cell(hausdorff: float, epsilon: float) -> CellMeasures:
        near = Proximity(alpha=0.5, epsilon_teacher=epsilon, epsilon_student=0.1, pairs=1, matched=1, crossed=1)
        return CellMeasures("kd", "cod", 4, 0, 0.9, hausdorff, 0.1, near)

    assert cell(0.7, 0.2).holds(0.0) is True
    assert cell(0.71, 0.2).holds(0.0) is False
    assert cell(0.71, 0.2).holds(0.02) is True
    assert cell(0.1, math.inf).holds(0.0) is None


@pytest.mark.parametrize("window", [((1.0, -1.0), (0.0, 1.0)), ((0.0, 1.0), (2.0, 2.0))])
def test_a_window_without_an_inside_is_a_fault_of_the_recipe(
    window: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    with pytest.raises(ValidationError, match="must go from a smaller to a larger number"):
        BoundariesOptions(window=window)
