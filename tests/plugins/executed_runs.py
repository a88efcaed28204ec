"""A small run for executors, and what of it must be the same bytes wherever its cells ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import cod_runner

RECIPE: dict[str, Any] = {
    "recipe": 1,
    "name": "executed",
    "dataset": {"use": "moons", "n": 300},
    "k": [8],
    "seeds": [0, 1],
    "teacher": {
        "use": "mlp",
        "hidden": [8],
        "finetune": {"rows": 100, "steps": 200, "lr": 0.02, "batch_size": 16},
    },
    "student": {"use": "mlp", "hidden": [4]},
    "counterfactuals": {"generators": ["gradient"], "max_edits": 1000},
    "methods": {"kd": ["hard", "kd"]},
    "arms": ["plain", "cod"],
    "train": {"steps": 20, "lr": 0.02},
    "evaluate": {"metrics": ["accuracy", "agreement", "kl", "ece"]},
}
CELLS = 4


def run(folder: Path, executor: dict[str, Any], jobs: int, **permissions: Any) -> Path:
    """The run's folder, once its cells have run on an executor."""
    recipe = folder / "executed.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    recipe.write_text(yaml.safe_dump({**RECIPE, "executor": executor}))
    result = cod_runner.run(recipe, out=folder / "run", jobs=jobs, device="cpu", **permissions)
    result.raise_if_incomplete()
    return result.folder.path


def contents(run: Path) -> dict[str, bytes]:
    """By name: the lines of cells without their times and in the order of their keys, counterfactuals, weights."""
    lines = [json.loads(line) for line in (run / "cells.jsonl").read_text().splitlines()]
    timeless = [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]
    cells = sorted(json.dumps(line) for line in timeless)
    weights = {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("students/**/*.safetensors"))}
    assert len(cells) == len(weights) == CELLS
    return {
        "cells": "\n".join(cells).encode(),
        "counterfactuals": (run / "counterfactuals.jsonl").read_bytes(),
        **weights,
    }
