"""`codrun auto`: a recipe, a run, a choice and an export from one file, and what it refuses before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from cod_runner.cli.program import call
from cod_runner.runs.student_record import read_student_record
from cod_runner.testing.tiny_models import tiny_bert

WORDS = {"good": ("warm", "funny", "great"), "bad": ("dull", "awful", "long")}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """320 labelled sentences, enough for a teacher that is fine-tuned; a tiny model beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    rows = [
        f"a {words[row % 3]} film number {row} with {words[(row + 1) % 3]} scenes,{label}"
        for row in range(160)
        for label, words in WORDS.items()
    ]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["review,verdict", *rows]) + "\n", encoding="utf-8")
    tiny_bert(tmp_path / "tiny", [row.split(",")[0] for row in rows])
    return path


def settings(*more: str) -> list[str]:
    chosen = (
        "teacher.model=./tiny", "student.layers_from_teacher=[1]", "k=[8]", "seeds=[0]", "train.steps=2",
        "teacher.finetune.rows=32", "arms=[plain]", "methods.hard=null", *more,
    )  # fmt: skip
    return [part for setting in chosen for part in ("--set", setting)]


def test_a_file_becomes_an_exported_student(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["auto", str(data), "--yes", "--offline", "--whole", *settings()]) == 0
    said = capsys.readouterr().out
    student = Path("runs/reviews/students/kd-plain-k8-s0")
    exported = Path(f"{student}-onnx")
    assert {"model.onnx", "tokenizer.json", "example.py", "README.md"} <= {path.name for path in exported.iterdir()}
    assert "wrote reviews.yaml" in said and "chosen: kd plain k=8, seed 0" in said
    assert f"ask it: codrun predict {exported} 'a text'" in said

    assert call(["auto", str(data), "--yes", "--offline", "--whole", *settings()]) == 0
    again = capsys.readouterr().out
    assert "reviews.yaml is there already and is used as it is" in again
    assert "cells: 1, 1 done, 0 to run" in again
    assert "exported" not in again.split("chosen:")[1].split("its card:")[0], "what is exported is not exported again"

    first = read_student_record(exported)
    changed = [*settings("train.steps=3")]
    assert call(["auto", str(data), "--yes", "--offline", "--whole", *changed]) == 0
    second, of = read_student_record(exported), read_student_record(student)
    assert first is not None and second is not None and of is not None
    assert second.key == of.key != first.key, "a student that was replaced is exported again"


def test_it_asks_before_it_runs(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert call(["auto", str(data), "--offline", *settings()]) == 0
    assert Path("reviews.yaml").exists() and not Path("runs").exists()
    assert "nothing was run; reviews.yaml is yours to change" in capsys.readouterr().out


def test_flags_that_a_recipe_would_not_follow_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("reviews.yaml").write_text("recipe: 1\n")
    assert call(["auto", str(data), "--label", "verdict"]) == 2
    assert "reviews.yaml is there already, and these flags would not be used" in capsys.readouterr().err


def test_an_unknown_exporter_is_refused_before_anything_is_written(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["auto", str(data), "--to", "onx"]) == 2
    assert "did you mean `onnx`?" in capsys.readouterr().err
    assert not Path("reviews.yaml").exists()
