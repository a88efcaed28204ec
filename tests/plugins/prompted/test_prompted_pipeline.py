"""From a recipe to its table: a language model teaches, in one vector per text as well, and its answers are stored."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest
from tiny_prompts import TEXTS

from cod_runner import running
from cod_runner.cli import call
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results
from cod_runner.testing.tiny_models import tiny_language_model, tiny_qwen2
from codrun_prompted import scorer

NOUNS, WORDS = ("film", "story", "cast", "script", "ending"), ("great", "awful", "funny", "boring", "good", "bad")

RECIPE = """
recipe: 1
name: prompted
describe: Is the film good or bad?
dataset: {{use: csv, path: films.csv, labels: [bad, good]}}
k: [4]
seeds: [0]
teacher: {{use: prompted, model: {teacher}, shots: 4, max_length: 20, calibration: {{texts: 20}}}}
student: {{use: transformers, model: {student}, max_length: 20}}
counterfactuals: {{generators: [lexicon], on_failure: keep_unverified}}
arms: [plain]
methods:
  kd: [hard, {{use: kd, weight: 2}}]
  lwd: [hard, {{use: lwd, weight: 2, pool: {pool}, layers: [[1, 2], [3, 3]]}}]
train: {{steps: 2, batch_size: 4, lr: 0.001, precision: fp32}}
evaluate: {{metrics: [accuracy, agreement], rows: 10}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "films.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for noun, word, ending in itertools.product(NOUNS, WORDS, ("", " , again", " this year")):
            table.writerow([f"the {noun} is {word}{ending}", "good" if word in ("great", "funny", "good") else "bad"])
    tiny_language_model(tmp_path / "teacher", "gemma3", TEXTS)
    tiny_qwen2(tmp_path / "student", TEXTS)
    return tmp_path / "prompted.yaml"


def written(recipe: Path, pool: str) -> str:
    recipe.write_text(RECIPE.format(teacher="./teacher", student="./student", pool=pool))
    return str(recipe)


def run(recipe: Path, *, fresh: bool = False) -> None:
    registry = Registry.discover()
    settings = RunSettings(jobs=1, fresh=fresh)
    running.run(load_recipe(recipe, registry), registry, settings, Progress(quiet=True))


def test_a_language_model_teaches(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    states = scorer.PromptedTeacher.states

    def counted(self: scorer.PromptedTeacher, inputs: list[str], *more: object) -> object:
        asked.extend(inputs)
        return states(self, inputs, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(scorer.PromptedTeacher, "states", counted)
    monkeypatch.setattr(results, "write_reports", lambda *all, **named: None)  # they take longer than the run
    written(recipe, "cls")
    run(recipe)
    lines = [json.loads(line) for line in Path("runs/prompted/cells.jsonl").read_text().splitlines()]
    assert {line["method"] for line in lines} == {"kd", "lwd"}
    facts = json.loads(Path("runs/prompted/run.json").read_text())["teacher"]
    assert facts["shots"] == 4 and len(facts["calibration"]["bias"]) == 2
    assert len(asked) >= 34
    # the second time nothing is asked, and so the model is not even loaded
    asked.clear()
    monkeypatch.setattr(scorer, "Reader", None)
    run(recipe, fresh=True)
    assert asked == []


def test_positions_of_a_prompt_cannot_be_compared_with_a_students(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([written(recipe, "none")]) == 2
    assert "the loss `lwd` compares positions" in capsys.readouterr().err


def test_the_plan_needs_neither_data_nor_model(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["validate", written(recipe, "cls")]) == 0
    assert call(["plan", str(recipe)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "2 layers x 20 tokens x 32" in told and "sends: nothing leaves this machine" in told
    assert "for the evaluation at most 10" in told
