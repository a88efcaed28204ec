"""What a run was measured on is read again: the same rows, the same answers of the teacher, nothing asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest
from text_runs import TextRun

from cod_runner.deployment.evaluation import Evaluation, evaluation_of
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.reading import read_run
from cod_runner.runs.student_record import StudentRecord, read_student_record

REGISTRY = Registry.discover()


def evaluated(run: Path, record: StudentRecord) -> Evaluation:
    return evaluation_of(read_run(run, REGISTRY), record, REGISTRY, offline=True, progress=Progress(quiet=True))


def record_of(run: TextRun) -> StudentRecord:
    record = read_student_record(run.student())
    assert record is not None
    return record


def test_it_is_the_split_that_the_run_measured(text_run: TextRun) -> None:
    read = read_run(text_run.folder, REGISTRY)
    found = evaluated(text_run.folder, record_of(text_run))
    assert found.labels == ("bad", "good")
    assert len(found.examples) == read.record.data["evaluation rows"] == 8
    assert found.teacher_logits is not None
    assert found.teacher_logits.shape == (8, 2)
    assert found.accuracy(found.teacher_logits) == read.record.teacher_accuracy
    assert found.agreement(found.teacher_logits) == 1.0
    assert found.agreement(-found.teacher_logits) == 0.0


def test_answers_that_the_store_has_no_more_are_said(
    text_run: TextRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copytree(text_run.store / "recipes", store / "recipes")
    monkeypatch.setenv("CODRUN_HOME", str(store))
    found = evaluated(text_run.folder, record_of(text_run))
    assert found.teacher_logits is None
    assert found.agreement(numpy.zeros((8, 2))) is None
    assert "no longer has the teacher's answers" in found.without_teacher
    assert not (store / "signals").exists()


def test_a_strangers_run_reads_no_file_from_elsewhere(
    text_run: TextRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store of somebody else"))
    with pytest.raises(RecipeError, match="is outside the recipe's folder"):
        evaluated(text_run.folder, record_of(text_run))


def test_data_of_other_labels_is_refused(text_run: TextRun) -> None:
    other = record_of(text_run).model_copy(update={"labels": ("no", "yes")})
    with pytest.raises(CodrunError, match="has the labels bad, good, and its student answers with no, yes"):
        evaluated(text_run.folder, other)
