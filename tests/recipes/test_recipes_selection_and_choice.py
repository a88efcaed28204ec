"""The recipes on which originals and which of their counterfactuals, run on a tiny model and a table of sentences."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cod_runner import algorithm
from cod_runner.api import Example, TeacherView
from cod_runner.cli import call
from cod_runner.data.fewshot import TrainingSet
from cod_runner.testing.tiny_models import tiny_bert

BASELINES = Path(__file__).parents[2] / "recipes" / "baselines"
LABELS = ("negative", "positive")
OPINIONS = (("awful", "boring", "terrible", "bad"), ("great", "funny", "lovely", "good"))
NOUNS = (
    "film story cast script ending music scene actor camera plot house river summer winter train letter doctor child "
    "city garden voice night morning table window street island teacher horse engine market bridge painter mirror"
).split()


class Ran(NamedTuple):
    """What a recipe's run at seed 100 trained on, and what it wrote."""

    sets: dict[str, TrainingSet]
    cells: dict[str, dict[str, Any]]
    pool: Sequence[Example]
    teacher: TeacherView

    def margin(self, text: Any) -> float:
        """How sure the teacher is."""
        ((first, second),) = self.teacher.score([text])
        return abs(first - second)

    def added(self, arm: str) -> list[Example]:
        originals = {row.id for row in self.sets[arm].originals}
        return [row for row in self.sets[arm].rows if row.id not in originals]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows around one word of opinion each, the four flips of each row, which change this word, and a tiny model."""
    place = tmp_path_factory.mktemp("laboratory")
    dice = random.Random(0)
    rows, pairs = [], []
    for label in (0, 1) * 100:
        words = dice.sample(NOUNS, 6)
        words.insert(dice.randrange(6), dice.choice(OPINIONS[label]))
        text = "the " + " ".join(words)
        rows.append(f"{text},{LABELS[label]}")
        for other in OPINIONS[1 - label]:
            changed = " ".join(other if word in OPINIONS[label] else word for word in text.split())
            pairs.append(json.dumps({"original": text, "counterfactual": changed}))
    (place / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (place / "pairs.jsonl").write_text("\n".join(pairs))
    tiny_bert(place / "tiny", rows, num_hidden_layers=1, initializer_range=0.1)
    return place


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(name: str, *overrides: str) -> Ran:
        monkeypatch.setenv("CODRUN_HOME", str(folder / "store"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        seen: dict[str, Any] = {}
        draw = algorithm.draw_training_sets

        def drawing(context: Any, experiment: Any, found: Any, cells: Any) -> dict[tuple[str, int, int], TrainingSet]:
            sets = draw(context, experiment, found, cells)
            seen["sets"] = {arm: chosen for (arm, _, _), chosen in sets.items()}
            seen["pool"], seen["teacher"] = experiment.corpus.pool, found.orders.view
            return sets

        monkeypatch.setattr(algorithm, "draw_training_sets", drawing)
        data = {
            "use": "csv", "path": str(folder / "rows.csv"), "labels": list(LABELS),
            "hold_out": {"dev": {"of": "train", "rows": 20}},
        }  # fmt: skip
        settings = [
            f"dataset={json.dumps(data)}",
            f"teacher.model={folder / 'tiny'}",
            "teacher.finetune={rows: 200, steps: 60, lr: 5.0e-3, batch_size: 16, precision: fp32}",
            f"student.model={folder / 'tiny'}",
            "student.layers=[1]",
            f"counterfactuals.generators=[{{use: precomputed, path: {folder / 'pairs.jsonl'}}}]",
            "train.steps=2",
            *overrides,
        ]
        command = [str(BASELINES / f"{name}.yaml"), "--seeds", "100", "--out", str(tmp_path / "run"), "--jobs", "1"]
        assert call([*command, "--quiet", *(word for each in settings for word in ("--set", each))]) == 0, (
            capsys.readouterr().err
        )
        lines = [json.loads(line) for line in (tmp_path / "run" / "cells.jsonl").read_text().splitlines()]
        return Ran(cells={line["arm"]: line for line in lines}, **seen)

    return ran


def test_originals_are_typical_unsure_or_far_with_counterfactuals_and_without(run: Any, folder: Path) -> None:
    arms = ["typical", "margin", "diverse", "typical_cod", "margin_cod", "diverse_cod"]
    by_encoder = [arm for arm in arms if not arm.startswith("margin")]
    ran: Ran = run(
        "selection",
        *(f"arms.{arm}.select.among=40" for arm in arms),
        *(f"arms.{arm}.select.encoder={folder / 'tiny'}" for arm in by_encoder),
    )
    assert list(ran.cells) == ["plain", "cod", *arms]
    for arm, cell in ran.cells.items():
        assert (cell["labelled"], cell["added"]) == ((8, 8) if arm.endswith("cod") else (16, 0))
        assert cell["embedded"] == (80 if arm in by_encoder else 0)
        assert sorted(row.hard_label for row in ran.sets[arm].originals) == sorted([0, 1] * (cell["labelled"] // 2))
    originals = {arm: {row.id for row in chosen.originals} for arm, chosen in ran.sets.items()}
    assert originals["margin_cod"] < originals["margin"] and originals["diverse_cod"] < originals["diverse"], "nested"
    assert len({frozenset(each) for each in originals.values()}) == 8, "each its own"
    assert ran.cells["margin"]["teacher_queries"] >= 80 > ran.cells["typical"]["teacher_queries"]
    unsure = [ran.margin(row.input) for row in ran.sets["margin"].originals]
    assert sum(unsure) / 16 < sum(ran.margin(row.input) for row in ran.pool) / len(ran.pool)


def test_counterfactuals_are_near_far_fresh_or_unknown_to_the_student(run: Any) -> None:
    ran: Ran = run("choice")
    chosen = {arm: ran.added(arm) for arm in ran.sets if arm != "plain"}
    assert list(chosen) == ["cod", "nearest", "median", "farthest", "fresh_words", "disagreement", "misread"]
    assert all(len(rows) == 8 and all(row.is_counterfactual for row in rows) for rows in chosen.values())
    assert len({tuple(row.id for row in ran.sets[arm].originals) for arm in chosen}) == 1, "the same originals"
    margins = {arm: [ran.margin(row.input) for row in rows] for arm, rows in chosen.items()}
    for near, middle, far in zip(margins["nearest"], margins["median"], margins["farthest"], strict=True):
        assert near <= middle <= far
    assert sum(margins["nearest"]) < sum(margins["median"]) < sum(margins["farthest"])
    assert [row.input for row in chosen["farthest"]] == [row.input for row in chosen["cod"]], "all change one word"
    said = {arm: {word for row in rows for word in str(row.input).split()} - set(NOUNS) for arm, rows in chosen.items()}
    assert len(said["fresh_words"]) > len(said["cod"])
    assert chosen["disagreement"] != chosen["cod"]
