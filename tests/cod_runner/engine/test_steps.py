"""How many steps a training takes, and the warning where they are too few."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cod_runner.api import TrainSettings
from cod_runner.engine.steps import planned_steps, steps_at, warning_of_few_steps


def test_steps_are_what_the_passes_hold_or_what_the_recipe_says() -> None:
    def steps(batches: list[int], **settings: int) -> int:
        return planned_steps(TrainSettings.model_validate(settings), lambda number: batches[number - 1])

    assert steps([4, 4, 4], epochs=3) == 12
    assert steps([4, 4, 4], epochs=3, accumulation=3) == 6, "a step of three batches and one of one, in each pass"
    assert steps([4, 5], epochs=2, accumulation=4) == 3
    assert steps([], steps=7, accumulation=3) == 7


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"epochs": 10, "batch_size": 8}, 10),
        ({"epochs": 10, "batch_size": 5}, 20),
        ({"epochs": 10, "batch_size": 2, "accumulation": 3}, 20),
        ({"steps": 7, "batch_size": 2, "accumulation": 3}, 7),
        ({}, 100),
    ],
)
def test_a_cells_steps_follow_from_k_alone(settings: dict[str, int], wanted: int) -> None:
    assert steps_at(TrainSettings.model_validate(settings), 8) == wanted


@pytest.mark.parametrize(
    ("settings", "ks", "wanted"),
    [
        (
            {"epochs": 10},
            [64, 16, 8],
            "k=8 trains 10 steps, k=16 20; a fresh head stays near chance below about 50 steps: raise `train.epochs`",
        ),
        (
            {"steps": 1},
            [8],
            "k=8 trains 1 step; a fresh head stays near chance below about 50 steps: raise `train.steps`",
        ),
        ({"epochs": 49}, [8], "k=8 trains 49 steps; a fresh head stays near chance below about 50 steps: raise"),
        ({"epochs": 50}, [8, 16], None),
        ({"epochs": 10}, [40, 512], None),
    ],
)
def test_too_few_steps_are_named_with_their_k(settings: dict[str, int], ks: list[int], wanted: str | None) -> None:
    said = warning_of_few_steps(TrainSettings.model_validate(settings), ks)
    assert (said or "").startswith(wanted or "") and (said is None) == (wanted is None), said


def test_steps_are_counted_without_torch() -> None:
    code = "import sys, cod_runner.engine.steps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
