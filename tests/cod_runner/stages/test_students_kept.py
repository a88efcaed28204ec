"""``students: all | best | none``: what lies in the run's folder, at any time, and what a second call trains again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cod_runner import running
from cod_runner.api import hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import RecipeError
from cod_runner.plan import plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.runs.choice import choose
from cod_runner.runs.kept_students import cannot_be_chosen, students_kept
from cod_runner.runs.reading import read_run
from cod_runner.runs.records import CellRow
from cod_runner.stages import kept_students

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 300, validation: 60}
k: [4, 8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 30, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 20, lr: 0.02, batch_size: 4, precision: fp32}
"""
ALL = {f"kd-{arm}-k{k}-s{seed}" for arm in ("plain", "cod") for k in (4, 8) for seed in (0, 1)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the teacher is trained once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def recipe(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(store))
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


class Watcher:
    """Counts the students on the disk whenever a cell is finished, and the cells that are told of."""

    def __init__(self, out: Path) -> None:
        self.out, self.most, self.finished = out, 0, 0

    @hookimpl
    def codrun_cell_finished(self, row: Any) -> None:
        self.finished += 1
        self.most = max(self.most, len(folders(self.out)))


def run(
    recipe: Path, out: Path, kept: str | None = None, *overrides: str, **settings: Any
) -> tuple[running.RunResult, Watcher]:
    registry, watcher = Registry.discover(), Watcher(out)
    registry.attach("watcher", watcher)
    loaded = load_recipe(recipe, registry, overrides=overrides, flags={} if kept is None else {"students": kept})
    result = running.run(loaded, registry, RunSettings(out=out, jobs=1, **settings), Progress(quiet=True))
    return result, watcher


def folders(out: Path) -> set[str]:
    path = out / "students"
    return {each.name for each in path.iterdir() if not each.name.startswith(".")} if path.is_dir() else set()


def chosen(out: Path) -> str:
    return choose(read_run(out, Registry.discover()).rows).row.name


def weights(out: Path, name: str) -> bytes:
    return (out / "students" / name / "model.safetensors").read_bytes()


def cells(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


@pytest.fixture
def whole(recipe: Path, store: Path, tmp_path: Path) -> Path:
    """A run that keeps all of its students, a copy of its own for each test."""
    made = store / "whole"
    if not made.exists():
        result, _ = run(recipe, made)
        assert folders(made) == ALL
        assert (result.record.students, result.record.not_kept) == ("all", [])
    shutil.copytree(made, tmp_path / "whole")
    return tmp_path / "whole"


def test_best_keeps_the_chosen_one_and_never_many(recipe: Path, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    result, watcher = run(recipe, out, "best")
    assert cells(out) == cells(whole), "what is kept decides no result"
    assert folders(out) == {chosen(whole)}
    assert weights(out, chosen(whole)) == weights(whole, chosen(whole))
    # a setting has two seeds, and the one that was just written is still there
    assert watcher.most <= students_kept(yaml_recipe(recipe, "best")) + 1 < len(ALL)
    assert len(result.record.not_kept) == 7
    assert result.record.students == "best"
    told = [each.value for each in result.report.protocol if each.name == "students kept"]
    assert told == [f"1 of 8: {chosen(whole)}"]
    assert f"students kept: 1 of 8: {chosen(whole)}" in (out / "table.md").read_text()


def yaml_recipe(recipe: Path, kept: str) -> Any:
    return load_recipe(recipe, Registry.discover(), flags={"students": kept}).recipe


def test_none_writes_no_weights_and_best_then_trains_one_and_all_the_rest(
    recipe: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "run"
    _, watcher = run(recipe, out, "none")
    assert (folders(out), watcher.finished) == (set(), 8)
    lines = (out / "cells.jsonl").read_text()
    _, watcher = run(recipe, out, "best")
    assert (folders(out), watcher.finished) == ({chosen(whole)}, 0)
    result, _ = run(recipe, out, "all")
    assert folders(out) == ALL
    assert all(weights(out, name) == weights(whole, name) for name in ALL)
    assert (out / "cells.jsonl").read_text() == lines
    assert result.record.not_kept == []
    assert not any("differs" in note for note in result.record.notes)


def test_all_then_best_removes_the_others_but_nothing_that_it_did_not_write(
    recipe: Path, tmp_path: Path, whole: Path
) -> None:
    foreign = whole / "students" / "kd-plain-k4-s0"
    shutil.rmtree(foreign)
    foreign.mkdir()
    (foreign / "mine.txt").write_text("precious")
    other = whole / "students" / "kd-plain-k4-s1" / "student.json"
    other.write_text(json.dumps({**json.loads(other.read_text()), "key": "of another cell"}))
    run(recipe, whole, "best")
    assert folders(whole) == {chosen(whole), foreign.name, other.parent.name}
    assert (foreign / "mine.txt").read_text() == "precious"


def test_a_folder_that_a_person_removed_is_not_trained_again(recipe: Path, whole: Path) -> None:
    shutil.rmtree(whole / "students")
    _, watcher = run(recipe, whole)
    assert (folders(whole), watcher.finished) == (set(), 0)


def test_more_seeds_may_change_the_choice_and_its_student_comes_back(recipe: Path, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    for seed in (0, 1):
        run(recipe, out, "best", f"seeds=[{seed}]")
    assert len(folders(out)) == 2, "of each call the best, since the other's cells are not of its recipe"
    run(recipe, out, "best")
    assert folders(out) == {chosen(whole)}
    assert sorted(cells(out), key=lambda line: line["key"]) == sorted(cells(whole), key=lambda line: line["key"])


def test_a_kill_between_training_and_removing_leaves_nothing_behind(
    recipe: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    removed: list[str] = []

    def killed(folder: Any, row: CellRow) -> None:
        removed.append(row.name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kept_students, "remove_student", killed)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, out, "best")
    assert removed[0] in folders(out)
    record = json.loads((out / "run.json").read_text())
    assert len(record["not_kept"]) == 8, "whatever is gone when a run is killed, a later one knows"
    run(recipe, out, "best")
    assert folders(out) == {chosen(whole)}


def test_a_student_that_comes_out_differently_is_said(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run(recipe, out, "none", "k=[4]", "arms=[plain]", "seeds=[0]")
    line = json.loads((out / "cells.jsonl").read_text())
    (out / "cells.jsonl").write_text(json.dumps({**line, "accuracy": 0.125}) + "\n")
    result, _ = run(recipe, out, "all", "k=[4]", "arms=[plain]", "seeds=[0]")
    (note,) = [note for note in result.record.notes if "differs" in note]
    assert note == (
        "the student kd-plain-k4-s0 was trained again and differs from its line in cells.jsonl: accuracy "
        f"{line['accuracy']:.4f} instead of 0.125"
    )


def test_a_seed_is_out_of_the_running_once_another_of_its_setting_is_better(recipe: Path) -> None:
    registry = Registry.discover()
    every = cells_of(load_recipe(recipe, registry).recipe, registry)
    loss = {"kd-plain-k4-s0": 0.5, "kd-plain-k4-s1": 0.6, "kd-cod-k4-s0": 0.3, "kd-cod-k4-s1": 0.4, "kd-cod-k8-s0": 0.9}
    rows = [
        CellRow(cell.key, cell.method, cell.arm, cell.k, cell.seed, held_out_rows=200, held_out_loss=loss[cell.name])
        for cell in every
        if cell.name in loss
    ]
    done = {row.key for row in rows}
    gone = cannot_be_chosen(rows, [cell for cell in every if cell.key not in done])
    # k = 4 is complete: its best stays; k = 8 is not: whatever it has may still win
    assert {row.name for row in rows} - {row.name for row in gone} == {"kd-cod-k4-s0", "kd-cod-k8-s0"}
    assert cannot_be_chosen([], every) == []


@pytest.mark.parametrize(("kept", "most"), [("all", 8), ("best", 3), ("none", 0)])
def test_the_plan_counts_what_is_kept(recipe: Path, tmp_path: Path, kept: str, most: int) -> None:
    registry = Registry.discover()
    loaded = load_recipe(recipe, registry, flags={"students": kept})
    assert students_kept(loaded.recipe) == most
    assert plan_of(loaded, registry, tmp_path / "out").students.kept == most


def test_the_key_changes_no_cell_and_is_checked(recipe: Path) -> None:
    registry = Registry.discover()
    plain = load_recipe(recipe, registry)
    kept = load_recipe(recipe, registry, flags={"students": "best"})
    assert cells_of(plain.recipe, registry) == cells_of(kept.recipe, registry)
    assert yaml.safe_load(kept.to_yaml())["students"] == "best"
    with pytest.raises(RecipeError, match="students"):
        load_recipe(recipe, registry, flags={"students": "some"})


@pytest.mark.parametrize("kept", ["best", "none"])
def test_trackers_that_read_students_say_which_they_lack(recipe: Path, tmp_path: Path, kept: str) -> None:
    registry, progress = Registry.discover(), Progress(quiet=True)
    loaded = load_recipe(
        recipe, registry, overrides=["k=[4]", "trackers=[{use: boundaries, grid: 20}]"], flags={"students": kept}
    )
    running.run(loaded, registry, RunSettings(out=tmp_path / "run", jobs=1), progress)
    there = 1 if kept == "best" else 0
    sentence = (
        f"the tracker `boundaries` measures and draws {there} of 4 students: the others are not kept; `students: all` "
        "keeps them"
    )
    assert sentence in progress.notes
    assert sentence in (tmp_path / "run" / "theory.md").read_text()
    assert len(json.loads((tmp_path / "run" / "theory.json").read_text())["cells"]) == there
