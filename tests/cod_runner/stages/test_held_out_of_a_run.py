"""A run's held-out rows: what they leave in its files, and that they change no student."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cod_runner import running
from cod_runner.api import expected_calibration_error
from cod_runner.context import RunSettings, opened_run
from cod_runner.data import held_out
from cod_runner.deployment.opened import open_student
from cod_runner.engine.held_out import held_out_score
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.student_record import read_student_record
from cod_runner.stages.rows import corpora_of, read_data

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 300, validation: 60}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 30, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 20, lr: 0.02, batch_size: 8}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def run(recipe: Path, out: Path, *overrides: str) -> tuple[running.RunResult, Progress]:
    registry, progress = Registry.discover(), Progress(quiet=True)
    settings = RunSettings(out=out, jobs=1)
    return running.run(load_recipe(recipe, registry, overrides=overrides), registry, settings, progress), progress


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]


def test_the_rows_calibrate_each_student_and_stay_in_its_folder_without_their_texts(
    recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run(recipe, out)
    registry = Registry.discover()
    for line in lines(out):
        folder = out / "students" / f"kd-{line['arm']}-k8-s{line['seed']}"
        record = read_student_record(folder)
        assert record is not None
        assert record.held_out is not None
        logits, labels = torch.tensor(record.held_out.logits), torch.tensor(record.held_out.labels)
        score = held_out_score(logits, labels)
        assert (score.rows, score.accuracy, score.loss, score.temperature) == (
            line["held_out_rows"], line["held_out_accuracy"], line["held_out_loss"], line["temperature"]
        )  # fmt: skip
        assert line["held_out_rows"] == 200
        assert record.temperature == line["temperature"] == open_student(folder, registry).temperature
        assert line["calibration_error"] == line["ece"]
        assert line["calibrated_error"] != line["calibration_error"]
        assert set(record.held_out.model_dump()) == {"labels", "logits"}


def test_the_error_after_is_that_of_the_divided_logits(recipe: Path, tmp_path: Path) -> None:
    """Against the student itself, asked about the evaluation split again."""
    out = tmp_path / "run"
    run(recipe, out, "arms=[plain]", "seeds=[0]", "train.precision=fp32")
    (line,) = lines(out)
    student = open_student(out / "students" / "kd-plain-k8-s0", Registry.discover())
    registry = Registry.discover()
    loaded = load_recipe(recipe, registry)
    with opened_run(loaded, registry, RunSettings(out=tmp_path / "other"), Progress(quiet=True)) as context:
        data = read_data(context.recipe, context.registry, offline=True, progress=context.progress)
        rows = corpora_of(context.recipe, data)[0].evaluation
    logits = torch.tensor(student.answerer.logits(student.answerer.encode([row.input for row in rows])))
    gold = torch.tensor([row.hard_label for row in rows])
    assert expected_calibration_error(logits, gold) == pytest.approx(line["calibration_error"], abs=1e-6)
    after = expected_calibration_error(logits.double() / student.temperature, gold)
    assert after == pytest.approx(line["calibrated_error"], abs=1e-6)


def test_how_many_rows_are_held_out_changes_no_student(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe, tmp_path / "many", "train.precision=fp32")
    monkeypatch.setattr(held_out, "HELD_OUT_ROWS", 0)
    run(recipe, tmp_path / "none", "train.precision=fp32")
    many, none = lines(tmp_path / "many"), lines(tmp_path / "none")
    assert [line["held_out_rows"] for line in none] == [0] * 4
    assert not any("held_out_loss" in line or "temperature" in line for line in none)
    kept = ("key", "accuracy", "agreement", "kl", "ece", "f1", "losses")
    assert [[line[name] for name in kept] for line in many] == [[line[name] for name in kept] for line in none]
    for line in many:
        weights = [
            next((tmp_path / run / "students" / f"kd-{line['arm']}-k8-s{line['seed']}").glob("*.safetensors"))
            for run in ("many", "none")
        ]
        assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_gold_labels_beside_k_are_counted_in_the_record(recipe: Path, tmp_path: Path) -> None:
    result, progress = run(recipe, tmp_path / "run")
    # the first 200 of the pool, and as many more as some training set holds of them
    counted = result.record.data["held-out gold labels"]
    assert 200 <= counted <= 200 + 4 * 8
    assert not any("held out" in note for note in progress.notes)
    again, _ = run(recipe, tmp_path / "run", "seeds=[0]")
    assert again.record.data["held-out gold labels"] == counted


def test_too_few_rows_are_said_and_leave_the_student_as_it_is(recipe: Path, tmp_path: Path) -> None:
    result, progress = run(
        recipe, tmp_path / "run", "dataset.n=14", "arms=[plain]", "teacher.finetune.rows=14", "train.batch_size=4"
    )
    (note,) = [note for note in progress.notes if "not calibrated" in note]
    assert note == (
        "some students are not calibrated: of the pool, fewer than 10 rows are left that differ from all of their "
        "training texts; give more labelled rows, or take a smaller k"
    )
    assert all(line["held_out_rows"] == 6 and "temperature" not in line for line in lines(tmp_path / "run"))
    assert note in result.report.notes
