"""A run's folder: finished cells are found again, torn lines are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cod_runner.errors import CodrunError
from cod_runner.runs.folder import RunFolder


def test_a_torn_last_line_is_ignored_and_closed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row({"key": "a", "accuracy": 0.5})
    with folder.cells.open("a") as file:
        file.write('{"key": "b", "accu')
    assert set(folder.finished_rows()) == {"a"}
    folder.append_row({"key": "c", "note": "line\u2028separator"})
    rows = folder.finished_rows()
    assert set(rows) == {"a", "c"}
    assert rows["c"]["note"] == "line\u2028separator"


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_row({"key": "a", "accuracy": 0.5})
    folder.append_row({"key": "a", "accuracy": 0.7})
    assert folder.finished_rows()["a"]["accuracy"] == 0.7


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run").opened(),
        pytest.raises(CodrunError, match="another --out"),
        RunFolder(tmp_path / "run").opened(),
    ):
        raise AssertionError("the folder was opened twice")


def test_a_run_keeps_its_identifier_where_the_folder_goes_and_loses_it_with_the_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").opened() as folder:
        first = folder.identifier
        assert first == folder.identifier
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    with RunFolder(moved).opened() as folder:
        assert folder.identifier == first
    with RunFolder(tmp_path / "run").opened() as folder:
        assert folder.identifier != first
