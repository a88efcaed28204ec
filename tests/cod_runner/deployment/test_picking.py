"""The student to ship is chosen by held-out rows, and said with its reason, its folder and its cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from text_runs import TextRun

from cod_runner.binomial import half_width
from cod_runner.cli import call
from cod_runner.deployment.located import CellFilter, students_at
from cod_runner.deployment.picking import candidates, pick_student, size_in_words
from cod_runner.registry import Registry

REGISTRY = Registry.discover()
LOSS = {(4, 0): 0.70, (4, 1): 0.50, (8, 0): 0.40, (8, 1): 0.60}
"""Held-out loss by k and seed: the means of k 4 and 8 are .6 and .5."""


def copied(text_run: TextRun, folder: Path, **changes: Any) -> Path:
    """The run, its held-out losses those of :data:`LOSS` and other fields as given; students of one small file."""
    run = folder / "run"
    shutil.copytree(text_run.folder, run, ignore=shutil.ignore_patterns("students", "figures"))
    lines = [json.loads(line) for line in (run / "cells.jsonl").read_text().splitlines()]
    for line in lines:
        line |= {"held_out_loss": LOSS[line["k"], line["seed"]], "held_out_accuracy": 0.75, "held_out_rows": 24}
        line |= changes
        name = f"kd-plain-k{line['k']}-s{line['seed']}"
        (run / "students" / name).mkdir(parents=True)
        shutil.copy(text_run.student(name) / "student.json", run / "students" / name)
    (run / "cells.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_the_rule_decides_and_the_reason_is_said(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path)
    picked = pick_student(run, CellFilter(), REGISTRY)
    assert picked.folder == run / "students" / "kd-plain-k8-s0"
    assert candidates(picked.choice)[1] == [
        [">", "kd plain k=8", "0.500 ± 0.141", "0.750 ± 0.000", "24", "2", "0"],
        ["", "kd plain k=4", "0.600 ± 0.141", "0.750 ± 0.000", "24", "2", "1"],
    ]
    said = " ".join(picked.reasons())
    assert "chosen: kd plain k=8, seed 0" in said
    assert "24 held-out rows settle little: an accuracy on them is known to ±0.20 (95%)" in said
    assert "on the evaluation split, which chose nothing: Accuracy " in said
    assert picked.costs() == [
        "its training set: 8 labelled texts, 8 teacher queries, nothing paid",
        "beside it: 24 labels held out to choose and calibrate, up to 12 labels that fine-tuned the teacher",
    ]


def test_many_held_out_rows_are_trusted_as_far_as_they_go(text_run: TextRun, tmp_path: Path) -> None:
    picked = pick_student(copied(text_run, tmp_path, held_out_rows=200), CellFilter(), REGISTRY)
    assert "on 200 held-out rows an accuracy is known to ±0.07 (95%)" in picked.reasons()
    assert half_width(200) == pytest.approx(0.0693, abs=1e-4)


def test_a_run_without_held_out_rows_says_by_what_it_chooses(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path, held_out_loss=None, held_out_accuracy=None, held_out_rows=0)
    picked = pick_student(run, CellFilter(), REGISTRY)
    assert picked.folder.name == "kd-plain-k8-s0"
    said = " ".join(picked.reasons())
    assert "by protocol, since no cell has held-out rows" in said
    assert "give the data more labelled rows and run the recipe again with --fresh" in said
    assert candidates(picked.choice)[1][0][2] == "–"


def test_prices_are_said(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path, generator_calls=7, usd=0.012, teacher_usd=1.5, added=4)
    assert pick_student(run, CellFilter(), REGISTRY).costs()[0] == (
        "its training set: 8 labelled texts, 4 added texts, 8 teacher queries, 7 generator calls, $0.0120 for "
        "generators, $1.50 for the teacher"
    )


def test_flags_narrow_and_students_that_are_gone_are_no_candidates(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path)
    assert pick_student(run, CellFilter(k=4), REGISTRY).folder.name == "kd-plain-k4-s1"
    shutil.rmtree(run / "students" / "kd-plain-k8-s0")
    picked = pick_student(run, CellFilter(k=8), REGISTRY)
    assert picked.folder.name == "kd-plain-k8-s1"
    assert any("1 finished cell was no candidate, though the best is" in sentence for sentence in picked.reasons())


def test_a_run_that_keeps_its_best_student_alone_is_chosen_from_all_cells(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path)
    for name in ("kd-plain-k4-s0", "kd-plain-k4-s1", "kd-plain-k8-s1"):
        shutil.rmtree(run / "students" / name)
    picked = pick_student(run, CellFilter(), REGISTRY)
    assert picked.folder.name == "kd-plain-k8-s0"
    assert picked.unsaved == 0
    assert len(candidates(picked.choice)[1]) == 2


def test_of_several_seeds_predict_takes_the_one_that_pick_does(text_run: TextRun, tmp_path: Path) -> None:
    run = copied(text_run, tmp_path)
    for wanted in (CellFilter(k=4), CellFilter(k=4, seeds="best")):
        found = students_at(run, wanted, REGISTRY)
        assert [folder.name for folder in found.folders] == ["kd-plain-k4-s1"]
        assert found.said == (
            "student: kd plain k=4 seed 1, of 2 seeds the one with the smallest loss on 24 held-out rows"
        )


def test_the_command_line(text_run: TextRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(text_run, tmp_path)
    folder = str(run / "students" / "kd-plain-k8-s0")
    assert call(["pick", str(run), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert call(["pick", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(folder)
    assert f"  codrun export {folder} --to onnx" in lines
    assert call(["pick", str(run), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["folder"], shown["by"], shown["cost"]["labelled"]) == (folder, "held-out loss", 8)
    assert call(["pick", str(run), "--k", "5"]) == 2
    assert "has no such student; there are the method kd" in capsys.readouterr().err
    assert call(["pick", str(tmp_path)]) == 2


def test_sizes_in_words() -> None:
    assert [size_in_words(count) for count in (12, 1234, 69_600_000, 2.5e9)] == ["12 B", "1.2 kB", "69.6 MB", "2.5 GB"]
