"""The baselines that are losses or mixtures, run from their recipes on tiny models and a table of sentences."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cod_runner import running
from cod_runner.api import Example, Mixture, hookimpl
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results, teacher
from cod_runner.testing.tiny_models import tiny_bert

BASELINES = Path(__file__).parents[2] / "recipes" / "baselines"
OPPOSITES = [("great", "awful"), ("funny", "boring"), ("lovely", "terrible"), ("brilliant", "stupid"), ("good", "bad")]
FRAMES = ("the {noun} is {word}", "a {word} {noun} from start to end", "what a {word} {noun}", "{word}, this {noun}")
TEXTS = [
    (frame.format(noun=noun, word=pair[label]), ("positive", "negative")[label])
    for frame, noun, pair, label in itertools.product(FRAMES, ("film", "story", "cast", "script"), OPPOSITES, (0, 1))
]


class TrainingSets:
    """Notes what every cell trains on."""

    def __init__(self) -> None:
        self.by_cell: dict[str, Sequence[Example]] = {}

    @hookimpl
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        self.by_cell[f"{cell['method']}-{cell['arm']}"] = training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("baselines")
    with (place / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *TEXTS])
    texts = [text for text, _ in TEXTS]
    tiny_bert(place / "wide", texts, hidden_size=48, num_hidden_layers=2, initializer_range=0.1)
    tiny_bert(place / "narrow", texts, num_hidden_layers=1, initializer_range=0.1)
    return place


def run(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str
) -> tuple[dict[str, dict[str, Any]], Mapping[str, Sequence[Example]]]:
    """The lines of ``cells.jsonl`` and the training rows of a recipe's cells, by ``method-arm``, seed 100 alone."""
    monkeypatch.setenv("CODRUN_HOME", str(folder / "store"))
    monkeypatch.setattr(teacher, "finetuning_threads", lambda: 1)
    monkeypatch.setattr(results, "write_reports", lambda *arguments: None)
    data = {"use": "csv", "path": str(folder / "rows.csv"), "labels": ["negative", "positive"]}
    registry, seen = Registry.discover(), TrainingSets()
    registry.attach("training sets", seen)
    loaded = load_recipe(
        BASELINES / f"{name}.yaml",
        registry,
        overrides=[
            f"dataset={json.dumps(data)}",
            f"teacher.model={folder / 'wide'}",
            "teacher.max_length=64",
            "teacher.finetune={rows: 120, steps: 40, lr: 3.0e-3, batch_size: 16, precision: fp32}",
            f"student.model={folder / 'narrow'}",
            "student.layers=null",
            "k=[8]",
            "seeds=[100]",
            "train={steps: 20, lr: 3.0e-3, precision: fp32}",
            *overrides,
        ],
    )
    out = folder / f"run-{name}"
    running.run(loaded, registry, RunSettings(out, jobs=1, device="cpu"), Progress(quiet=True))
    rows = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    return {f"{row['method']}-{row['arm']}": row for row in rows}, seen.by_cell


@pytest.mark.parametrize(
    ("name", "method", "loss", "overrides"),
    [
        ("attention_relations", "relations", "relations", ["methods.relations.2.heads=8"]),
        ("crd", "crd", "crd", []),
    ],
)
def test_a_baseline_that_is_a_loss(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str, loss: str, overrides: list[str]
) -> None:
    cells, _ = run(name, folder, monkeypatch, *overrides)
    assert set(cells) == {f"{each}-{arm}" for each in ("kd", method) for arm in ("plain", "cod")}
    for cell, row in cells.items():
        assert list(row["losses"]) == ["hard", "kd", *([loss] if cell.startswith(method) else [])]
        assert all(math.isfinite(value) and value > 0 for value in row["losses"].values())
    for arm in ("plain", "cod"):
        assert cells[f"kd-{arm}"]["losses"]["kd"] != cells[f"{method}-{arm}"]["losses"]["kd"], "it trains"


def test_mixtures_beside_the_k(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, training = run("mixkd", folder, monkeypatch)
    assert set(cells) == {"kd-plain", "kd-cod", "kd-mixkd", "kd-mixkd_cod"}
    pool = {text for text, _ in TEXTS}
    for arm, originals in (("mixkd", 8), ("mixkd_cod", 4)):
        rows = training[f"kd-{arm}"]
        labelled, mixed = ([row for row in rows if (row.label is None) == absent] for absent in (False, True))
        assert len(labelled) == 8 and len(mixed) == 4 * originals == cells[f"kd-{arm}"]["unlabelled"]
        firsts = {row.input for row in labelled if not row.is_counterfactual}
        for row in mixed:
            assert isinstance(row.input, Mixture) and row.input.first in firsts and row.input.second in pool
        assert all(math.isfinite(value) for value in cells[f"kd-{arm}"]["losses"].values())
    again, _ = run("mixkd", folder, monkeypatch)
    assert again == cells, "found finished"
