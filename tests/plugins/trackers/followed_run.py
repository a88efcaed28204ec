"""One small run in two calls, the second with a seed more, followed by every tracker at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner import running
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

RECIPE = """
recipe: 1
name: followed
dataset: {use: moons, n: 200, validation: 50}
k: [4]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {steps: 60, lr: 0.05, batch_size: 32}}
student: {use: mlp, hidden: [4]}
counterfactuals: {generators: [{use: gradient, step: 0.1}], max_edits: 1000}
methods: {kd: [hard, {use: kd, weight: 20}, {use: kd, weight: 3, temperature: 4}]}
train: {steps: 25, lr: 0.01}
evaluate: {metrics: [accuracy, agreement]}
"""


@dataclass(frozen=True)
class Followed:
    """A run that was followed, and what was said of it."""

    folder: Path
    notes: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The cells, in the order in which they were finished."""
        return lines(self.folder / "cells.jsonl")

    def losses(self, name: str) -> dict[int, dict[str, float]]:
        """By step."""
        return {line["step"]: line["losses"] for line in lines(self.folder / "training" / f"{name}.jsonl")}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(folder: Path, trackers: str, *overrides: str, **settings: Any) -> Progress:
    """One call."""
    recipe = folder / "followed.yaml"
    recipe.write_text(f"{RECIPE}trackers: {trackers}\n")
    registry, progress = Registry.discover(), Progress()
    loaded = load_recipe(recipe, registry, overrides=overrides)
    with loaded.pointing():
        running.run(loaded, registry, RunSettings(out=folder / "run", jobs=1, **settings), progress)
    return progress
