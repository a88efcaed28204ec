"""A run's folder: finished cells are found again, torn lines are not; what plugins declare is in its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Component, Options
from cod_runner.errors import CodrunError, SettingError
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.records import CellRow, MetricRecord


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
    assert set(folder.finished_rows()) == {"a"}
    folder.append_row(row("c", note="line\u2028separator"))
    rows = folder.finished_rows()
    assert set(rows) == {"a", "c"}
    assert rows["c"]["note"] == "line\u2028separator"


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row(row("a", 0.5))
    folder.append_row(row("a", 0.7))
    assert folder.finished_rows()["a"]["accuracy"] == 0.7


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
    folder.write_record(record)
    written = json.loads(folder.record.read_text())
    assert written["metrics"] == [{"name": "brier", "title": "Brier score", "higher_is_better": False}]
    assert written["without_teacher"] == ["hard"]

    other = RunFolder(tmp_path / "other")
    with pytest.raises(SettingError, match="the metric `steps`"):
        other.begin(loaded_from(recipe_with(evaluate={"metrics": ["steps"]}), tmp_path), registry, [])
    assert not other.path.exists()
