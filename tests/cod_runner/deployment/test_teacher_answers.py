"""A run's teacher is asked after the run where that costs nothing, and speaks from the store otherwise."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy
import pytest
import torch
from scorers import Answers, Scorers
from text_runs import TextRun
from torch import Tensor

from cod_runner import running
from cod_runner.api import Input
from cod_runner.cli import call
from cod_runner.context import RunSettings
from cod_runner.deployment import teacher as teachers
from cod_runner.deployment.answering import logits_of, softmax
from cod_runner.deployment.evaluation import evaluation_of
from cod_runner.deployment.teacher import ScorerAnswers, TeacherAnswers, find_teacher, open_teacher
from cod_runner.engine.calibration import Calibration
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.reading import RunFiles, read_run
from cod_runner.runs.student_record import StudentRecord, read_student_record

REGISTRY = Registry.discover()
QUIET = Progress(quiet=True)


def opened(text_run: TextRun) -> tuple[RunFiles, StudentRecord]:
    record = read_student_record(text_run.student())
    assert record is not None
    return read_run(text_run.folder, REGISTRY), record


def test_stored_answers_are_taken_and_the_rest_is_asked(text_run: TextRun) -> None:
    run, record = opened(text_run)
    found = find_teacher(run, record, REGISTRY, progress=QUIET)
    evaluation = evaluation_of(run, record, REGISTRY, offline=True, progress=QUIET)
    assert evaluation.teacher_logits is not None
    texts = [str(value) for value in evaluation.inputs[:3]]
    stored = torch.softmax(torch.tensor(evaluation.teacher_logits[:3]).double(), dim=1)
    said = TeacherAnswers(run, record, REGISTRY, None)([*texts, "a text that it never read"])
    assert said[3] is None
    for row, wanted in zip(said[:3], stored.tolist(), strict=True):
        assert row == pytest.approx(wanted, abs=1e-12)
    asked = TeacherAnswers(run, record.model_copy(update={"teacher": "another"}), REGISTRY, found)(texts)
    for row, wanted in zip(asked, stored.tolist(), strict=True):
        assert row == pytest.approx(wanted, abs=1e-5)


def test_a_teacher_that_is_gone_is_said_and_not_trained_again(
    text_run: TextRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(text_run.store / "recipes", tmp_path / "recipes")
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path))
    run, record = opened(text_run)
    with pytest.raises(CodrunError, match="no longer has the fine-tuned teacher"):
        find_teacher(run, record, REGISTRY, progress=QUIET)


def test_a_teacher_that_may_cost_money_is_never_asked(
    text_run: TextRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teachers, "is_paid", lambda *_: True)
    run, record = opened(text_run)
    with pytest.raises(CodrunError, match="answers for money, or elsewhere"):
        find_teacher(run, record, REGISTRY, progress=QUIET)
    monkeypatch.setattr(teachers, "open_teacher", lambda *_: pytest.fail("it was asked"))
    assert call(["predict", str(text_run.student()), "--teacher", "--json", "a text that it never read"]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["teacher"] == {"label": None, "probabilities": None}
    assert "the teacher was not asked about 1 of the texts" in " ".join(error.split())


def test_it_stands_beside_the_student(text_run: TextRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["predict", str(text_run.folder), "--k", "4", "--teacher", "a good film"]) == 0
    assert "teacher: " in capsys.readouterr().out


def test_a_student_outside_a_run_has_no_teacher(
    text_run: TextRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(text_run.student(), tmp_path / "moved")
    assert call(["predict", str(tmp_path / "moved"), "--teacher", "a good film"]) == 2
    assert "--teacher needs the run" in capsys.readouterr().err


def test_a_teacher_that_only_answers_has_its_shots_and_its_calibration_again(
    text_run: TextRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    registry = Registry.discover()
    assert registry.register("scorers", "scorers", lambda: Scorers).fault is None
    recipe = tmp_path / "answers.yaml"
    shutil.copy(text_run.data, tmp_path)
    recipe.write_text(f"""
recipe: 1
name: answers
dataset: {{use: csv, path: films.csv, labels: [bad, good]}}
k: [4]
seeds: [0]
teacher: {{use: answers, shots: 4, calibration: {{texts: 8, gold: 6}}}}
student: {{use: transformers, model: {text_run.folder.parent / "teacher"}, layers: [1], new_head: true}}
methods: {{kd: [hard, kd]}}
arms: [plain]
train: {{steps: 1}}
evaluate: {{metrics: [accuracy]}}
""")
    run_folder = tmp_path / "run"
    running.run(load_recipe(recipe, registry), registry, RunSettings(out=run_folder, jobs=1), QUIET)
    shown = list(Answers.SHOWN)
    run, record = read_run(run_folder, registry), read_student_record(run_folder / "students" / "kd-plain-k4-s0")
    assert record is not None
    found = find_teacher(run, record, registry, progress=QUIET)
    assert found.calibration is not None
    assert [shot.input for shot in found.source.shots] == shown
    evaluation = evaluation_of(run, record, registry, offline=True, progress=QUIET)
    said = logits_of(open_teacher(found, registry), evaluation.inputs)
    assert evaluation.teacher_logits is not None
    numpy.testing.assert_allclose(softmax(said), softmax(evaluation.teacher_logits), atol=1e-6)


class Lengths:
    """A label scorer: the log-odds of `long` are a text's length."""

    labels = ("short", "long")
    at_once = 8
    fingerprint = "f" * 64

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        return torch.log_softmax(torch.tensor([[0.0, float(len(str(value)))] for value in inputs]), dim=1)

    def price(self, inputs: Sequence[Input]) -> float | None:
        return 0.0


def test_a_scorer_is_calibrated_as_in_its_run() -> None:
    answers = ScorerAnswers(Lengths(), Calibration((-1.0, 1.0), 2.0))
    encoded = answers.encode(["aaaa", "aa"])
    assert [len(each.ids) for each in encoded] == [4, 2]
    found = torch.softmax(torch.tensor(answers.logits(encoded)), dim=1)[:, 1].tolist()
    assert found == pytest.approx([1 / (1 + math.exp(-1.0)), 0.5], abs=1e-6)
