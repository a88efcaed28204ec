"""A student or a run is found from what the user named; anything else is answered with what would have been right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from text_runs import TextRun

from cod_runner.deployment.located import CellFilter, students_at
from cod_runner.errors import RecipeError
from cod_runner.registry import Registry

REGISTRY = Registry.discover()
K4 = CellFilter(k=4)
ANY = CellFilter()


def names(where: Path, wanted: CellFilter = K4) -> list[str]:
    return [folder.name for folder in students_at(where, wanted, REGISTRY).folders]


def refused(where: Path, wanted: CellFilter = ANY) -> str:
    with pytest.raises(RecipeError) as raised:
        students_at(where, wanted, REGISTRY)
    return str(raised.value)


def test_a_students_folder_or_a_file_in_it_is_that_student(text_run: TextRun) -> None:
    folder = text_run.student()
    for where in (folder, folder / "model.safetensors", folder / "student.json"):
        found = students_at(where, CellFilter(), REGISTRY)
        assert found.folders == (folder,)
        assert found.said == ""
        assert found.run is not None
        assert found.run.folder == text_run.folder


def test_a_run_is_narrowed_by_flags(text_run: TextRun) -> None:
    assert names(text_run.folder, CellFilter(method="kd", arm="plain", k=8, seed=1)) == ["kd-plain-k8-s1"]
    assert names(text_run.folder, CellFilter(k=4, seeds="average")) == ["kd-plain-k4-s0", "kd-plain-k4-s1"]


def test_what_is_left_must_differ_by_seed_alone(text_run: TextRun) -> None:
    assert refused(text_run.folder) == (
        f"{text_run.folder} has students of several settings: choose one with --method, --arm and --k; there are the "
        f"method kd; the arm plain; k 4, 8; the seeds 0, 1; `codrun pick {text_run.folder}` says which to take"
    )
    assert refused(text_run.folder, CellFilter(method="ted")) == (
        f"{text_run.folder} has no student with --method ted; there are the method kd; the arm plain; k 4, 8; the "
        "seeds 0, 1"
    )


def test_flags_of_a_run_are_refused_for_a_student(text_run: TextRun) -> None:
    assert "choose among those of a run" in refused(text_run.student(), K4)


def test_an_exported_student_stands_alone(text_run: TextRun, tmp_path: Path) -> None:
    shutil.copytree(text_run.student(), tmp_path / "exported")
    assert students_at(tmp_path / "exported", CellFilter(), REGISTRY).run is None


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("run/students", "is neither a student's folder nor a run's: name {home}/run, or one of the folders in it"),
        ("", "it holds {home}/run; name one of them"),
        ("runn", "{home}/runn: there is no such folder; did you mean {home}/run?"),
        ("films.yaml", "run it with `codrun {home}/films.yaml`, and name the run's folder"),
        ("run/recipe.yaml", "name {home}/run"),
        ("run/table.md", "name the run's folder, {home}/run"),
        ("teacher", "it is a checkpoint without student.json"),
        ("films.csv", "an exported model has a student.json beside it, and this one has none"),
        ("run/figures", "it has neither student.json nor recipe.yaml"),
    ],
)
def test_a_wrong_path_is_answered_with_the_right_one(text_run: TextRun, where: str, said: str) -> None:
    home = text_run.folder.parent
    assert said.format(home=home) in refused(home / where)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert "File name too long" in refused(Path("a" * 5000))
    assert "there is no such folder" in refused(Path("a\0b"))


def test_a_run_whose_students_are_gone_says_so(text_run: TextRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(text_run.folder, run, ignore=shutil.ignore_patterns("students"))
    assert "no student was saved" in refused(run)
    shutil.copytree(text_run.folder / "students", run / "students", ignore=shutil.ignore_patterns("student.json"))
    assert "saved by an earlier version" in refused(run)


def test_a_cell_cannot_lead_out_of_the_run(text_run: TextRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(text_run.folder, run, ignore=shutil.ignore_patterns("students"))
    shutil.copytree(text_run.student(), tmp_path / "elsewhere-plain-k4-s0")
    line = (run / "cells.jsonl").read_text().splitlines()[0]
    (run / "cells.jsonl").write_text(line.replace('"method": "kd"', '"method": "../../elsewhere"') + "\n")
    (run / "students").mkdir()
    assert "no student was saved" in refused(run)
