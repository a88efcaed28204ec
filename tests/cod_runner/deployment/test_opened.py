"""A saved student is opened from its folder alone, and answers as it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cod_runner.api import BuildContext
from cod_runner.deployment.opened import open_student
from cod_runner.errors import CodrunError
from cod_runner.registry import Registry
from cod_runner.runs.student_record import SavedComponent, StudentRecord, write_student_record

REGISTRY = Registry.discover()
POINTS = [(0.25, 0.5), (1.0, -1.0)]
MLP = SavedComponent(use="mlp", options={"hidden": [4]})


def saved(folder: Path, labels: tuple[str, ...] = ("upper", "lower")) -> list[list[float]]:
    """Write a student, and return its logits about :data:`POINTS`."""
    student = REGISTRY.build("student", "mlp", MLP.options, BuildContext(labels=("upper", "lower"), seed=3))
    folder.mkdir()
    student.save(folder)
    write_student_record(folder, StudentRecord(student=MLP, labels=labels, temperature=2.0))
    return student(student.collate(student.encode(POINTS))).logits.tolist()


def test_a_student_without_reopen_is_built_and_loaded(tmp_path: Path) -> None:
    said = saved(tmp_path / "student")
    opened = open_student(tmp_path / "student", REGISTRY)
    assert opened.answerer.labels == ("upper", "lower")
    assert opened.answerer.logits(opened.answerer.encode(POINTS)).tolist() == said
    assert opened.temperature == 2.0


def test_a_folder_without_record_is_no_student(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match=r"is not a student's folder: it has no student\.json"):
        open_student(tmp_path, REGISTRY)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("[]", "it is not a mapping"),
        (json.dumps({"labels": ["a"]}), "does not describe a student: student: Field required"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "student.json").write_text(content)
    with pytest.raises(CodrunError, match=r"student\.json") as raised:
        open_student(tmp_path, REGISTRY)
    assert said in str(raised.value)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "student")
    registry = Registry.discover()
    record = StudentRecord(student=MLP, labels=("a", "b", "c"))
    write_student_record(tmp_path / "student", record)
    with pytest.raises(CodrunError):
        open_student(tmp_path / "student", registry)
