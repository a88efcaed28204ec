"""A small run: two methods, two k, three seeds, numbers chosen so that every mean can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cod_runner.api import Component, Options, hookimpl
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord

# method, arm, k -> accuracy of seeds 0, 1, 2
ACCURACY = {
    ("kd", "plain", 8): (0.60, 0.62, 0.64),  # mean .62, deviation .02
    ("kd", "cod", 8): (0.63, 0.66, 0.69),  # mean .66, deviation .03: wins three times
    ("kd", "plain", 16): (0.70, 0.72, 0.74),
    ("kd", "cod", 16): (0.69, 0.70, 0.71),  # loses three times
    ("hard", "plain", 8): (0.50, 0.52, 0.54),
    ("hard", "cod", 8): (0.52, 0.50, 0.54),  # equal mean
    ("hard", "plain", 16): (0.55, 0.55, 0.55),
}

METRICS = {
    name: MetricRecord(name=name, title=title, higher_is_better=name != "kl")
    for name, title in (
        ("accuracy", "Accuracy"),
        ("agreement", "Agreement with the teacher"),
        ("kl", "KL divergence from the teacher"),
    )
}


def row_of(method: str, arm: str, k: int, seed: int, accuracy: float, **more: Any) -> CellRow:
    line = {
        "key": f"{method}-{arm}-{k}-{seed}", "method": method, "arm": arm, "k": k, "seed": seed,
        "accuracy": accuracy, "agreement": accuracy + 0.1, "kl": 1 - accuracy,
        "steps": 100, "training_rows": k, "redrawn": 0, "yield": 1.0, "seconds": 3.0,
        "precision": "fp32", "device": "cpu", "select": "last", **more,
    }  # fmt: skip
    return CellRow.from_json(line, metrics={*METRICS, *more})


@pytest.fixture
def rows() -> list[CellRow]:
    return [
        row_of(method, arm, k, seed, accuracy)
        for (method, arm, k), values in ACCURACY.items()
        for seed, accuracy in enumerate(values)
    ]


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe()


def make_recipe(**changes: Any) -> Recipe:
    written = {
        "recipe": 1,
        "name": "small",
        "dataset": {"use": "csv", "path": "/somewhere/private/films.csv", "text": "text"},
        "k": [8, 16],
        "seeds": [0, 1, 2],
        "teacher": {"use": "transformers", "model": "big", "finetune": {"rows": 3000, "epochs": 1}},
        "student": {"use": "transformers", "model": "small"},
        "counterfactuals": {"generators": ["lexicon"]},
        "methods": {"hard": ["hard"], "kd": ["hard", {"use": "kd", "weight": 20, "temperature": 2}]},
        "train": {"steps": 100, "lr": 1e-4},
        "evaluate": {"metrics": ["accuracy", "agreement", "kl"]},
    }
    return Recipe.model_validate({**written, **changes})


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(
        recipe="small", command="codrun recipes/small.yaml", versions={"codrun": "9.9"}, machine={"cores": 2},
        seconds=300.0, teacher={"accuracy": 0.815}, notes=["k=8, seed 2: only 80% gave a pair"],
        quality=[{"name": "flip rate", "all": 0.5, "flipped": 1.0}],
        metrics=list(METRICS.values()), without_teacher=["hard"],
    )  # fmt: skip


@pytest.fixture
def outcomes() -> list[dict[str, Any]]:
    return [
        {
            "pair_id": "0", "source_id": "r0", "original": "a good <film>", "counterfactual": "a bad <film>",
            "from_label": "positive", "label": "negative", "teacher_before": [0.1, 0.9], "teacher_after": [0.7, 0.3],
            "verified": True, "edits": 1, "minimality": 0.25, "generator": "lexicon", "attempts": 3, "reasons": {},
        },
        {
            "pair_id": "1", "source_id": "r1", "original": "so so", "counterfactual": None, "from_label": "negative",
            "label": None, "teacher_before": [0.6, 0.4], "teacher_after": None, "verified": False, "edits": None,
            "minimality": None, "generator": None, "attempts": 9, "reasons": {"no flip": 9},
        },
    ]  # fmt: skip


@pytest.fixture
def run_folder(
    tmp_path: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]]
) -> Path:
    return write_run(tmp_path / "small", recipe, record, rows, outcomes)


def write_run(
    folder: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]]
) -> Path:
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    (folder / "run.json").write_text(record.model_dump_json())
    (folder / "cells.jsonl").write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    (folder / "counterfactuals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in outcomes))
    return folder


@pytest.fixture
def make_run(tmp_path: Path, record: RunRecord) -> Callable[..., Path]:
    """Write another run: ``make_run("name", rows, name of a recipe key=value)``."""

    def make(name: str, rows: list[CellRow], **changes: Any) -> Path:
        return write_run(tmp_path / name, make_recipe(**changes), record, rows, [])

    return make


@pytest.fixture
def make_row() -> Callable[..., CellRow]:
    return row_of


@pytest.fixture
def recipe_with() -> Callable[..., Recipe]:
    return make_recipe


@pytest.fixture
def no_plugins() -> Registry:
    """A machine on which no plugin is installed."""
    return Registry()


class StudentOptions(Options):
    """Options of a student of :func:`make_recipe`'s: made anew, or cut from its teacher."""

    model: str = ""
    cut: bool = False

    def from_teacher(self) -> bool:
        return self.cut


@pytest.fixture
def registry_of() -> Callable[..., Registry]:
    """A machine on which one plugin declares these components, and the student of :func:`make_recipe`."""

    def made(*components: Component) -> Registry:
        @hookimpl
        def codrun_components() -> list[Component]:
            return [Component("student", "transformers", StudentOptions, "m:Student", ""), *components]

        registry = Registry()
        plugin = type("Plugin", (), {"codrun_components": staticmethod(codrun_components)})
        assert registry.register("stranger", "stranger.plugin", lambda: plugin).fault is None
        return registry

    return made
