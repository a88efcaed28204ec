"""A run's folder: finished cells are found again, torn lines are not; what plugins declare is in its record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Component, Options
from cod_runner.errors import CodrunError, SettingError
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.reading import read_rows
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord, VerdictRecord


def row(key: str, accuracy: float = 0.5, **extra: Any) -> CellRow:
    return CellRow(key, "kd", "plain", 8, 0, metrics={"accuracy": accuracy}, extra=extra)


def loaded_from(recipe: Recipe, folder: Path) -> LoadedRecipe:
    """A recipe as if it had been read from a file and checked."""
    return LoadedRecipe(recipe, recipe, folder / "small.yaml", None, folder, [], tree={})  # type: ignore[arg-type]


def test_a_torn_last_line_is_ignored_and_terminated(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a"))
    with folder.cells.open("a") as file:
        file.write('{"key": "b", "accu')
    assert set(folder.finished_rows(["accuracy"])) == {"a"}
    folder.append_row(row("c", note="line\u2028separator"))
    rows = folder.finished_rows(["accuracy"])
    assert set(rows) == {"a", "c"}
    assert rows["c"]["note"] == "line\u2028separator"


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a", 0.5))
    folder.append_row(row("a", 0.7))
    assert folder.finished_rows(["accuracy"])["a"]["accuracy"] == 0.7


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run").opened(),
        pytest.raises(CodrunError, match="another --out"),
        RunFolder(tmp_path / "run").opened(),
    ):
        raise AssertionError("the folder was opened twice")


def test_the_identifier_moves_with_the_folder_and_is_lost_with_it(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").opened() as folder:
        first = folder.identifier
        assert first == folder.identifier
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    with RunFolder(moved).opened() as folder:
        assert folder.identifier == first
    with RunFolder(tmp_path / "run").opened() as folder:
        assert folder.identifier != first


class HardOptions(Options):
    def uses_teacher(self) -> bool:
        return False


class KDOptions(Options):
    temperature: float = 2.0


def test_a_run_begins_with_what_its_plugins_declare(
    tmp_path: Path, recipe_with: Callable[..., Recipe], registry_of: Callable[..., Any]
) -> None:
    registry = registry_of(
        Component("metric", "brier", Options, "m:Brier", "", title="Brier score", higher_is_better=False),
        Component("metric", "steps", Options, "m:Steps", ""),
        Component("loss", "hard", HardOptions, "m:Hard", ""),
        Component("loss", "kd", KDOptions, "m:KD", ""),
    )
    folder = RunFolder(tmp_path)
    record = folder.begin(loaded_from(recipe_with(evaluate={"metrics": ["brier"]}), tmp_path), registry, ["a", "b"])
    assert record.metrics == [MetricRecord(name="brier", title="Brier score", higher_is_better=False)]
    assert (record.without_teacher, record.cell_keys) == (["hard"], ["a", "b"])
    assert record.student_from_teacher is False
    cut = recipe_with(evaluate={"metrics": ["brier"]}, student={"use": "transformers", "cut": True})
    assert folder.begin(loaded_from(cut, tmp_path), registry, []).student_from_teacher is True
    folder.write_record(record)
    written = json.loads(folder.record.read_text())
    assert written["metrics"] == [{"name": "brier", "title": "Brier score", "higher_is_better": False}]
    assert written["without_teacher"] == ["hard"]

    other = RunFolder(tmp_path / "other")
    with pytest.raises(SettingError, match="the metric `steps`"):
        other.begin(loaded_from(recipe_with(evaluate={"metrics": ["steps"]}), tmp_path), registry, [])
    assert not other.path.exists()


def test_a_torn_line_is_removed_before_the_next_is_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a"))
    whole = folder.cells.read_bytes()
    folder.cells.write_bytes(whole + b'{"key": "b", "accu')
    folder.append_row(row("c"))
    assert folder.cells.read_bytes().startswith(whole)
    assert [json.loads(line)["key"] for line in folder.cells.read_text().splitlines()] == ["a", "c"]
    folder.cells.write_bytes(whole.removesuffix(b"\n"))  # only the end of the line was lost
    folder.append_row(row("c"))
    assert [json.loads(line)["key"] for line in folder.cells.read_text().splitlines()] == ["a", "c"]


def test_a_row_on_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a"))
    before = folder.cells.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CodrunError, match=r"cells.jsonl cannot be written \(No space left on device\); free its disk"):
        folder.append_row(row("b"))
    assert folder.cells.read_bytes() == before


def test_half_a_surrogate_pair_is_written_as_json_escapes_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_lines(folder.counterfactuals, [{"original": "half \ud83d pair"}])
    folder.append_row(row("a", note="\ud83d"))
    assert json.loads(folder.counterfactuals.read_text(encoding="utf-8")) == {"original": "half \ud83d pair"}
    assert folder.finished_rows(["accuracy"])["a"]["note"] == "\ud83d"


def test_a_damaged_record_identifier_or_log_stops_a_run_with_a_sentence(
    tmp_path: Path, recipe_with: Callable[..., Recipe], registry_of: Callable[..., Any]
) -> None:
    folder, registry = RunFolder(tmp_path), registry_of(Component("metric", "brier", Options, "m:Brier", ""))
    loaded = loaded_from(recipe_with(evaluate={"metrics": ["brier"]}), tmp_path)
    folder.record.write_text("{")
    with pytest.raises(CodrunError, match=r"run.json is damaged .*; delete it"):
        folder.begin(loaded, registry, [])
    (tmp_path / ".id").write_bytes(b"\xff\xfe")
    with pytest.raises(CodrunError, match=r"\.id is damaged; delete it"):
        assert folder.identifier
    folder.log.mkdir()
    with pytest.raises(CodrunError, match=r"run.log cannot be written \(Is a directory\)"), folder.opened():
        raise AssertionError("opened without a log")


def test_what_a_killed_run_left_half_written_goes_and_all_else_stays(tmp_path: Path) -> None:
    for name in (".codrun-partial-00000000", "students/.codrun-partial-00000000", "students/.kd-cod-k8-s0.abcd1234"):
        (tmp_path / name / "half").mkdir(parents=True)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".run.json.abcd1234").touch()
    os.utime(tmp_path / ".run.json.abcd1234", (1, 1))
    mine = [".config.settings", ".codrun-partial-of mine", "students/.kd-cod-k8-s0.abcd1235", "students/kd-cod-k8-s0"]
    for name in mine:
        (tmp_path / name).mkdir()
    with RunFolder(tmp_path).opened():
        pass
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {*mine, ".lock", "run.log", "students"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_line_whose_metric_is_not_a_number_is_not_a_finished_cell(tmp_path: Path, bad: float) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a", 0.5))
    folder.append_row(row("b", bad))
    folder.append_row(row("a", bad))  # the last line of a key counts
    folder.append_row(row("c", 0.7, odd=bad))
    assert set(folder.finished_rows(["accuracy"])) == {"c"}
    assert [each.key for each in read_rows(folder.cells, ["accuracy"])] == ["c"]
    assert [each.key for each in read_rows(folder.cells, ["accuracy", "odd"])] == []


def test_a_record_is_json_also_where_a_number_is_not_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_record(RunRecord(recipe="small", seconds=float("nan"), teacher={"accuracy": float("inf")}))
    written = json.loads(folder.record.read_text(), parse_constant=pytest.fail)
    assert (written["seconds"], written["teacher"]) == (None, {"accuracy": None})


def test_the_verdicts_of_the_last_call_that_ended_stay_until_the_next_one_ends(
    tmp_path: Path, recipe_with: Callable[..., Recipe], registry_of: Callable[..., Any]
) -> None:
    registry = registry_of(
        Component("metric", "brier", Options, "m:Brier", ""),
        Component("loss", "hard", HardOptions, "m:Hard", ""),
        Component("loss", "kd", KDOptions, "m:KD", ""),
    )
    loaded = loaded_from(recipe_with(evaluate={"metrics": ["brier"]}), tmp_path)
    folder = RunFolder(tmp_path)
    record = folder.begin(loaded, registry, [], "settings")
    record.verdicts = [VerdictRecord(what="brier", bound="at most 1", found="0.5", verdict="pass", sentence="")]
    folder.write_record(record)
    assert folder.begin(loaded, registry, [], "settings").verdicts == record.verdicts
    assert folder.begin(loaded, registry, [], "other settings").verdicts == []
