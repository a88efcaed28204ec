"""The curves of every run: what stands in training/, what becomes of it on a bad disk, what others read from it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from followed_run import lines, run

from cod_runner.api import BuildContext, CodrunError, Options
from cod_runner.engine.losses import WeightedTerm
from cod_runner.loss_terms import term_names
from codrun_trackers import json_lines
from codrun_trackers.contents import Contents
from codrun_trackers.json_lines import JsonLines

CELL = {"key": "k1", "method": "kd", "arm": "cod", "k": 4, "seed": 0}


def test_every_run_has_curves_whatever_trackers_it_names(called: Path) -> None:
    run(called, "[]", "arms=[plain]")
    (row,) = lines(called / "run" / "cells.jsonl")
    curve = lines(called / "run" / "training" / "kd-plain-k4-s0.jsonl")
    assert [line["step"] for line in curve] == list(range(1, 26))
    assert {line["key"] for line in curve} == {row["key"]}
    assert all(list(line) == ["key", "step", "losses"] for line in curve)
    assert curve[-1]["losses"] == row["losses"]
    assert list(row["losses"]) == ["hard", "kd", "kd-2"]


def test_a_training_that_begins_anew_replaces_its_file(tmp_path: Path) -> None:
    for steps in (3, 2):
        tracker = JsonLines(Options(), BuildContext(run=tmp_path))
        for step in range(1, steps + 1):
            tracker.codrun_step(cell=CELL, step=step, losses={"hard": step / steps})
    found = lines(tmp_path / "training" / "kd-cod-k4-s0.jsonl")
    assert found == [{"key": "k1", "step": step, "losses": {"hard": step / 2}} for step in (1, 2)]


def test_a_cell_that_also_trains_in_a_forgotten_worker_has_a_whole_file(tmp_path: Path) -> None:
    """Of the one that began last; lines of both would stand in it otherwise, over each other."""
    forgotten, new = (JsonLines(Options(), BuildContext(run=tmp_path)) for _ in range(2))
    for step in range(1, 6):
        forgotten.codrun_step(cell=CELL, step=step, losses={"hard": 1.0})
        if step > 2:
            new.codrun_step(cell=CELL, step=step - 2, losses={"hard": 0.5})
    found = lines(tmp_path / "training" / "kd-cod-k4-s0.jsonl")
    assert found == [{"key": "k1", "step": step, "losses": {"hard": 0.5}} for step in (1, 2, 3)]


def test_a_reader_sees_each_line_at_once(tmp_path: Path) -> None:
    tracker = JsonLines(Options(), BuildContext(run=tmp_path))
    other = {**CELL, "key": "k2", "arm": "plain"}
    for count, cell in enumerate([CELL, other], start=1):
        tracker.codrun_step(cell=cell, step=1, losses={"hard": 1.0})
        assert len(list((tmp_path / "training").iterdir())) == count
        assert lines(tmp_path / "training" / f"kd-{cell['arm']}-k4-s0.jsonl")[0]["key"] == cell["key"]
    tracker.codrun_cell_finished(row=other)


def test_cells_of_several_threads_lose_no_line(tmp_path: Path) -> None:
    tracker = JsonLines(Options(), BuildContext(run=tmp_path))
    together = threading.Barrier(3)

    def train(seed: int) -> None:
        cell = {**CELL, "key": f"k{seed}", "seed": seed}
        for step in range(1, 41):
            together.wait(timeout=240)
            tracker.codrun_step(cell=cell, step=step, losses={"hard": 1.0})
        tracker.codrun_cell_finished(row=cell)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(train, range(3)))
    for seed in range(3):
        found = lines(tmp_path / "training" / f"kd-cod-k4-s{seed}.jsonl")
        assert [(line["key"], line["step"]) for line in found] == [(f"k{seed}", step) for step in range(1, 41)]


def test_a_cell_that_is_finished_leaves_the_file_of_the_one_that_trains_open(tmp_path: Path) -> None:
    tracker = JsonLines(Options(), BuildContext(run=tmp_path))
    tracker.codrun_step(cell=CELL, step=1, losses={})
    tracker.codrun_cell_finished(row={**CELL, "key": "earlier"})
    assert tracker._open is not None
    (_, file) = tracker._open
    assert not file.closed
    tracker.codrun_cell_finished(row=CELL)
    assert file.closed and not tracker._open


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(json_lines.FileIO):
        def write(self, line: bytes) -> int:  # type: ignore[override]
            return super().write(line[:5])

    monkeypatch.setattr(json_lines, "FileIO", Full)
    tracker = JsonLines(Options(), BuildContext(run=tmp_path))
    with pytest.raises(CodrunError, match=r"kd-cod-k4-s0\.jsonl cannot be written \(No space left on device\)"):
        tracker.codrun_step(cell=CELL, step=1, losses={"hard": 1.0})


def test_a_folder_that_cannot_be_made_is_said_once_and_the_run_goes_on(called: Path) -> None:
    (called / "run").mkdir()
    (called / "run" / "training").write_text("a file is in the way")
    progress = run(called, "[]")
    (said,) = [note for note in progress.notes if "tracker" in note]
    path = called / "run" / "training" / "kd-plain-k4-s0.jsonl"
    assert said.startswith("the tracker `jsonl` (codrun ")
    assert said.endswith(
        f"failed: {path} cannot be written (File exists), so there are no training curves; it "
        "observes no longer, the run goes on"
    )
    assert len(lines(called / "run" / "cells.jsonl")) == 2


# --- what other trackers read --------------------------------------------------------------------------------

METHODS = {"kd": [{"use": "hard", "weight": 1.0}, {"use": "kd", "weight": 20.0}, {"use": "kd", "weight": 0.0}]}


def contents(folder: Path, **recipe: object) -> Contents:
    return Contents({"methods": METHODS, **recipe}, folder)


def test_the_total_weighs_each_term_and_strange_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    losses = {"hard": 0.5, "kd": 0.25, "kd-unweighted": 9.0}
    told = [
        json.dumps({"key": "k1", "step": 1, "losses": losses}),
        json.dumps({"key": "other", "step": 2, "losses": losses}),
        "[1]",
        json.dumps({"key": "k1", "step": 3, "losses": losses})[:-9],
    ]
    (tmp_path / "training" / "kd-cod-k4-s0.jsonl").write_text("\n".join(told))
    (point,) = contents(tmp_path).curve(CELL)
    assert (point.step, point.losses["total"]) == (1, 0.5 + 20 * 0.25)
    assert contents(tmp_path).curve({**CELL, "seed": 1}) == []


def test_terms_are_named_as_the_engine_names_them() -> None:
    terms = [WeightedTerm(name, object(), weight, None) for name, weight in [("kd", 1), ("kd", 2), ("kd", 0)]]  # type: ignore[arg-type]
    assert term_names((term.name, term.weight) for term in terms) == ["kd", "kd-2", "kd-unweighted"]


def test_metrics_are_the_finite_numbers_of_a_line(tmp_path: Path) -> None:
    row = {**CELL, "accuracy": 0.5, "f1": float("nan"), "kl": float("inf"), "losses": {"hard": 1}, "select": "last"}
    assert contents(tmp_path).metrics({**row, "finetuned": True, "steps": 5}) == {"accuracy": 0.5, "steps": 5.0}


def test_settings_are_flat_and_complete(tmp_path: Path) -> None:
    student = {"use": "mlp", "hidden": [4, 4], "margin": None}
    made = contents(tmp_path, student=student, train={"lr": 0.1}, counterfactuals={"generators": [{"use": "lexicon"}]})
    settings = made.settings(CELL)
    assert settings["student.hidden"] == "[4, 4]" and "student.margin" not in settings
    assert settings["counterfactuals.generators.0.use"] == "lexicon"
    assert (settings["train.lr"], settings["losses.kd.weight"], settings["arm"]) == (0.1, 20.0, "cod")
    assert settings["losses.kd-unweighted.weight"] == 0.0
