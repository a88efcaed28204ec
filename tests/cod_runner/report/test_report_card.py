"""A student's model card, by which somebody judges it who knows nothing of its run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from cod_runner.errors import CodrunError
from cod_runner.files import TEMPORARY
from cod_runner.recipe.grammar import Recipe
from cod_runner.report.card import write_cards
from cod_runner.report.card.metadata import STAND_IN, card_data, yaml_block
from cod_runner.report.card.writing import subjects
from cod_runner.report.contents import build_report
from cod_runner.runs.origins import OriginRecord
from cod_runner.runs.records import CellRow, FoldRecord, RunRecord
from cod_runner.runs.student_record import SavedComponent, StudentRecord, write_student_record

BERT = {"architectures": ["BertForSequenceClassification"]}
STRANGER = "x\n---\nlicense: mit\n---\n## Scores\n<script>alert(1)</script> [a](javascript:b) | `c` \x1b[31m"
DATA = {"pool rows": 900, "evaluation rows": 400, "dropped rows": "2 without text", "inputs": "texts"}


class Cards:
    """Writes the cards of a run of which some students are on disk."""

    def __init__(self, folder: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
        self.folder, self.recipe, self.record, self.rows = folder, recipe, record, rows
        self.outcomes: list[dict[str, Any]] = []

    def student(self, row: CellRow, config: dict[str, Any] | None = BERT, **more: Any) -> Path:
        fields: dict[str, Any] = {"labels": ("negative", "positive"), "key": row.key, **more}
        record = StudentRecord(
            student=SavedComponent(use="transformers"),
            recipe="small", method=row.method, arm=row.arm, k=row.k, seed=row.seed, metrics=dict(row.metrics), **fields,
        )  # fmt: skip
        folder = self.folder / "students" / record.cell
        folder.mkdir(parents=True)
        write_student_record(folder, record)
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    def write(self) -> int:
        return len(write_cards(self.folder, build_report(self.recipe, self.record, self.rows, self.outcomes)))

    def of(self, folder: Path) -> ModelCard:
        assert self.write() > 0
        return ModelCard.load(folder / "README.md")

    def row(self, method: str = "kd", arm: str = "cod", k: int = 16, seed: int = 0) -> CellRow:
        return next(row for row in self.rows if row.place == (method, arm, k, seed))


@pytest.fixture
def cards(tmp_path: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> Cards:
    return Cards(tmp_path, recipe, record.model_copy(update={"data": DATA, "longest_input": 64}), rows)


def test_a_card_that_a_kill_cuts_off_is_not_beside_the_weights(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lying = cards.student(cards.row()), []

    def looks(descriptor: int) -> None:
        lying.append([path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)])

    monkeypatch.setattr("os.fsync", looks)
    assert cards.write() == 1
    assert lying == [[]]


def section(card: ModelCard, heading: str) -> str:
    return str(card.text).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_hub_reads_its_block(cards: Cards) -> None:
    cards.record.origins = [
        OriginRecord(role="student", what="checkpoint", name="me/small", on_the_hub=True, license="mit"),
        OriginRecord(role="dataset", what="data set", name="me/films", on_the_hub=True),
    ]
    card = cards.of(cards.student(cards.row()))
    found = card.data.to_dict()
    results = found.pop("model-index")
    assert found == {
        "license": "mit",
        "base_model": "me/small",
        "datasets": ["me/films"],
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["codrun", "knowledge-distillation", "few-shot", "counterfactual-explanations"],
        "metrics": ["accuracy", "agreement", "kl"],
    }
    assert results[0]["name"] == "small/kd-cod-k16-s0"
    (result,) = results[0]["results"]
    assert result["dataset"] == {"name": "films.csv", "type": "me/films", "split": "validation"}
    assert result["metrics"][0] == {"type": "accuracy", "value": 0.69, "name": "Accuracy"}


@pytest.mark.parametrize(
    "changes",
    [
        *({"name": name} for name in ("small", "12", "null", f"{STAND_IN}-of-mine")),
        {"evaluate": {"metrics": ["accuracy", "kl"], "split": "value: 987654321"}},
        {"evaluate": {"metrics": ["accuracy", "kl"], "split": "\U0001f600 × 'a' # b"}},
    ],
)
def test_a_block_that_is_laid_out_once_is_the_one_that_the_hub_would_write(
    cards: Cards, recipe_with: Callable[..., Recipe], changes: dict[str, Any]
) -> None:
    cards.recipe = recipe_with(**changes)
    for seed, accuracy in ((0, 0.5), (1, 1), (2, 1e-4)):
        row = cards.row(seed=seed)
        row.metrics.update(accuracy=accuracy, kl=math.nan if seed == 2 else 1e20)
        cards.student(row, config=BERT if seed else None)
    found = list(subjects(cards.folder, build_report(cards.recipe, cards.record, cards.rows)))
    assert len(found) == 3
    for subject in found:
        measured = ((metric.name, subject.row.metrics[metric.name]) for metric in subject.metrics)
        scores = {name: round(value, 4) for name, value in measured if math.isfinite(value)}
        assert yaml_block(subject) == card_data(subject, subject.student.cell, scores).to_yaml()


def test_a_setting_that_loses_is_shown_losing(cards: Cards) -> None:
    scores = section(cards.of(cards.student(cards.row())), "Scores").splitlines()
    assert scores[1] == "Measured on the split validation of films.csv, 400 rows."
    assert scores[5:10] == [
        "| **this student** (seed 0) | 1 | 0.690 | 0.790 | 0.310 |",
        "| kd +CoD (its setting) | 3 | 0.700 ± 0.010 | 0.800 ± 0.010 | 0.300 ± 0.010 |",
        "| hard plain (no teacher, floor) | 3 | 0.550 ± 0.000 | 0.650 ± 0.000 | 0.450 ± 0.000 |",
        "| kd plain | 3 | 0.720 ± 0.020 | 0.820 ± 0.020 | 0.280 ± 0.020 |",
        "| its teacher |  | 0.815 |  |  |",
    ]
    text = "\n".join(scores)
    assert (
        "- kd +CoD against kd plain, seed by seed: −0.020 ± 0.010 accuracy, better in 0 of 3 seeds, p = 0.25 "
        "(sign-flip test; with 3 seeds it cannot fall below 0.25)."
    ) in text
    assert "- kd +CoD against hard plain, seed by seed: +0.150 ± 0.010 accuracy, better in 3 of 3 seeds" in text
    assert "With 400 evaluation rows, its accuracy lies from 0.643 to 0.733 (95%, Wilson's interval)" in text


def test_an_accuracy_of_one_is_not_known_for_certain(cards: Cards) -> None:
    row = cards.row()
    cards.rows = [replace(row, metrics={**row.metrics, "accuracy": 1.0})]
    text = section(cards.of(cards.student(cards.row())), "Scores")
    assert "its accuracy lies from 0.990 to 1.000 (95%" in text


def test_of_folds_a_card_speaks_of_its_student_s_own(cards: Cards, recipe_with: Callable[..., Recipe]) -> None:
    cards.recipe = recipe_with(evaluate={"folds": 3, "metrics": ["accuracy"]})
    own = FoldRecord(teacher={"accuracy": 0.9}, data={"evaluation rows": 120, "pool rows": 240})
    cards.record.folds = {0: FoldRecord(teacher={"accuracy": 0.7}, data={}), 1: own}
    card = cards.of(cards.student(cards.row(seed=1)))
    scores = section(card, "Scores")
    assert (
        "Measured on fold 1 (counted from 0) of 3 of films.csv, 120 rows: it and its teacher were made of the" in scores
    )
    assert "| its teacher |  | 0.900 |" in scores
    assert "- 240 pool rows, 120 evaluation rows." in card.text


def test_one_seed_settles_nothing(cards: Cards) -> None:
    cards.rows = [row for row in cards.rows if row.seed == 0]
    text = section(cards.of(cards.student(cards.row())), "Scores")
    assert "- One seed: a single number has no deviation and settles nothing." in text
    assert "−0.010 accuracy, better in 0 of 1 seed." in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate": {"select": "best_reported", "metrics": ["accuracy"]}}, "**Optimistic scores:**"),
        ({"counterfactuals": {"generators": ["lexicon"], "verify": False}}, "**Unverified:**"),
    ],
)
def test_what_nobody_may_overlook_comes_first(
    cards: Cards, recipe_with: Callable[..., Recipe], changes: dict[str, Any], said: str
) -> None:
    folder = cards.student(cards.row())
    assert said not in cards.of(folder).text
    cards.recipe = recipe_with(**changes)
    card = cards.of(folder)
    assert said in card.text.partition("## How to use it")[0]
    name = card.data.eval_results[0].metric_name
    assert (name == "Accuracy (optimistic: epoch chosen on these rows)") == ("Optimistic" in said)


@pytest.mark.parametrize(
    ("k", "measured_on", "guesses"), [(8, 400, True), (8, 20_000, True), (16, 400, False), (16, 20, True)]
)
def test_a_student_that_may_be_guessing_says_so(cards: Cards, k: int, measured_on: int, guesses: bool) -> None:
    cards.record.data = {**DATA, "evaluation rows": measured_on}
    card = cards.of(cards.student(cards.row(k=k, method="hard", arm="plain", seed=0)))  # accuracy .50 and .55
    assert ("**It may be guessing:**" in card.text) == guesses


@pytest.mark.parametrize(
    ("method", "arm", "part"),
    [
        ("kd", "plain", "taught it"),
        ("hard", "cod", "gave the labels of the counterfactuals that it was trained on"),
        ("hard", "plain", "taught other students of the run, and not this one"),
    ],
)
def test_a_teacher_did_not_teach_a_student_of_labels_alone(cards: Cards, method: str, arm: str, part: str) -> None:
    cards.record.origins = [OriginRecord(role="teacher", what="language model", name="big")]
    cards.rows = [replace(cards.row(), method=method, arm=arm)]
    card = cards.of(cards.student(cards.rows[0]))
    assert f"| language model | big | {part} | not stated here |" in section(card, "Licence and terms")


def test_a_licence_is_never_guessed(cards: Cards, recipe_with: Callable[..., Recipe]) -> None:
    folder = cards.student(cards.row())
    base = OriginRecord(role="student", what="checkpoint", name="package:small")
    cards.record.origins = [base, OriginRecord(role="teacher", what="language model", name="big", license="gemma")]
    card = cards.of(folder)
    assert (card.data.license, card.data.base_model) == ("unknown", None)
    terms = section(card, "Licence and terms")
    assert "no card of its base checkpoint was there that states one). Ask its author" in terms
    assert "| language model | big | taught it | gemma |" in terms
    assert "| data set | films.csv | its training and evaluation rows | not stated here |" in terms

    cards.record.origins = [base.model_copy(update={"license": "mit"})]
    card = cards.of(folder)
    assert card.data.license == "mit"
    assert "Licence: mit (as the card of its base checkpoint says)." in card.text

    said = {"license": "apache-2.0", "language": "no", "base_model": "me/small", "intended_use": "To *sort*."}
    cards.recipe = recipe_with(card=said)
    card = cards.of(folder)
    assert (card.data.license, card.data.language, card.data.base_model) == ("apache-2.0", ["no"], "me/small")
    assert "Intended use, in its author's words: To \\*sort\\*." in card.text


def test_what_a_stranger_wrote_is_text_and_nothing_else(cards: Cards, recipe_with: Callable[..., Recipe]) -> None:
    cards.recipe = recipe_with(describe=STRANGER, card={"intended_use": STRANGER})
    cards.record.data = {**DATA, "dropped rows": STRANGER}
    cards.record.origins = [OriginRecord(role="teacher", what="checkpoint", name=STRANGER, use=STRANGER)]
    cards.record.profile = STRANGER
    card = cards.of(cards.student(cards.row(), labels=(STRANGER, "good")))
    assert card.data.license == "unknown"
    text = str(card.text)
    assert text.count("\n## Scores") == 1
    assert "<script" not in text
    assert "[a](javascript" not in text
    assert "\x1b" not in text


def test_it_shows_no_folder_no_address_and_no_text_of_the_data(
    cards: Cards, recipe_with: Callable[..., Recipe], outcomes: list[dict[str, Any]]
) -> None:
    generator = {"use": "litellm", "api_base": "http://10.0.0.7:8000/v1", "prompt": "file:/home/me/my prompt.txt"}
    cards.recipe, cards.outcomes = recipe_with(counterfactuals={"generators": [generator]}), outcomes
    text = cards.of(cards.student(cards.row())).text
    assert "path films.csv" in text
    assert "prompt file:my prompt.txt" in text
    for secret in ("/somewhere", "/home", "10.0.0.7", "a good", "so so", "recipes/small.yaml"):
        assert secret not in text
    assert (
        "Of 2 originals searched in the whole run, 1 got one that changes the teacher's prediction (lexicon 1)." in text
    )


def test_a_temperature_is_told_and_is_in_the_code(cards: Cards) -> None:
    measured = {"held_out_rows": 60, "calibration_error": 0.104, "calibrated_error": 0.05, "temperature": 1.25}
    line = {**cards.row().to_json(), **measured}
    row = CellRow.from_json(line, ("accuracy", "agreement", "kl"))
    cards.rows = [row, *(other for other in cards.rows if other.key != row.key)]
    card = cards.of(cards.student(row, temperature=1.25))
    assert "/ 1.2500).softmax(dim=-1)" in section(card, "How to use it")
    said = section(card, "Calibration")
    assert "divided by a temperature of 1.250, fitted on 60 rows of the pool that it was not trained on" in said
    assert "Expected calibration error on the evaluation rows: 0.104 before, 0.050 after." in said
    assert "60 to fit this student's temperature and compare it with others" in card.text


def test_what_was_measured_and_exported_of_it_is_shown(cards: Cards) -> None:
    row = cards.row()
    folder = cards.student(row)
    assert "Speed and other forms" not in cards.of(folder).text
    measured = {"name": "student | int8", "p50": 1.504, "p95": 2.0, "bytes": 23_000_000, "accuracy": 0.69}
    bench = {"student": folder.name, "evaluation_rows": 400, "threads": 1, "machine": {"processor": "a_b", "cores": 2}}
    (cards.folder / "bench.json").write_text(json.dumps({**bench, "results": [measured]}))
    exported = StudentRecord(
        student=SavedComponent(use="t"), labels=("a", "b"), key=row.key,
        exported=SavedComponent(use="onnx", options={"int8": True, "opset": 20}),
    )  # fmt: skip
    (folder.with_name(f"{folder.name}-onnx")).mkdir()
    write_student_record(folder.with_name(f"{folder.name}-onnx"), exported)
    said = section(cards.of(folder), "Speed and other forms")
    assert "Measured on a_b, 2 cores, in one thread" in said
    assert "| student \\| int8 | 1.50 | 2.00 | – | 23.0 | 0.690 | – |" in said
    assert "- kd-cod-k16-s0-onnx: onnx (int8 yes, opset 20)" in said
    (cards.folder / "bench.json").write_text(json.dumps({**bench, "student": "another", "results": [measured]}))
    assert "Measured on a_b" not in cards.of(folder).text
    (cards.folder / "bench.json").write_text("[")
    assert "Measured on a_b" not in cards.of(folder).text


def test_it_is_opened_by_what_its_files_are(cards: Cards) -> None:
    plain, pooled, other = (
        cards.student(cards.row(seed=seed), config) for seed, config in ((0, BERT), (1, BERT), (2, None))
    )
    (pooled / "modules.json").write_text("[]")
    assert cards.write() == 3
    found = [ModelCard.load(folder / "README.md") for folder in (plain, pooled, other)]
    assert [card.data.library_name for card in found] == ["transformers", "sentence-transformers", "codrun"]
    for card, begins in zip(found, ("from transformers", "from sentence_transformers", "```sh"), strict=True):
        assert section(card, "How to use it").splitlines()[2].startswith(begins) or begins in card.text
    for card in found[:2]:
        compile(section(card, "How to use it").partition("```python\n")[2].partition("\n```")[0], "card", "exec")


def test_only_students_of_the_present_recipe_get_a_card_and_none_is_written_twice(cards: Cards) -> None:
    row = cards.row()
    folder, older = cards.student(row), cards.student(cards.row(seed=1), key="of other settings")
    assert cards.write() == 1
    assert not (older / "README.md").exists()
    written = (folder / "README.md").stat().st_mtime_ns
    assert cards.write() == 1
    assert (folder / "README.md").stat().st_mtime_ns == written
    (folder / "README.md").write_text("mine")
    cards.write()
    assert (folder / "README.md").read_text() != "mine"


def test_a_damaged_record_is_named(cards: Cards) -> None:
    folder = cards.student(cards.row())
    (folder / "student.json").write_text("{")
    with pytest.raises(CodrunError, match=r"student\.json is damaged"):
        cards.write()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"license": "see below"}, "license"),
        ({"language": "English"}, "language"),
        ({"base_model": "../secret"}, "base_model"),
        ({"author": "me"}, "author"),
    ],
)
def test_the_recipe_s_section_takes_nothing_else(recipe_with: Callable[..., Recipe], card: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe_with(card=card)
    recipe = recipe_with(card={"license": "mit", "language": ["en", "pt-BR"]})
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))) == recipe
