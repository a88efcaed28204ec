"""The rows that workers leave for the run: read once, and only where they are what they say."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.runs.cells import Cell
from cod_runner.runs.records import CellRow
from cod_runner.runs.rows_left import LARGEST, RowsLeft

CELL = Cell("kd", "plain", 8, 0, "a" * 32)
OTHER = Cell("kd", "cod", 8, 0, "b" * 32)


def row(cell: Cell, **metrics: float) -> CellRow:
    return CellRow(
        cell.key, cell.method, cell.arm, cell.k, cell.seed, metrics or {"accuracy": 0.1 + 0.2}, steps=3, usd=0
    )


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / ".finished").iterdir())


def test_a_row_is_found_as_it_was_left_until_it_is_forgotten(tmp_path: Path) -> None:
    left = RowsLeft(tmp_path)
    assert left.found([CELL], ["accuracy"]) == []
    left.leave(row(OTHER))
    left.leave(row(CELL))
    assert names(tmp_path) == [f"{CELL.key}.json", f"{OTHER.key}.json"]
    assert RowsLeft(tmp_path).found([CELL, OTHER], ["accuracy"]) == [row(CELL), row(OTHER)]
    left.forget(CELL.key)
    (other,) = left.found([CELL, OTHER], ["accuracy"])
    assert json.dumps(other.to_json()) == json.dumps(row(OTHER).to_json()), "not 0.0 for 0"
    left.end()
    assert list(tmp_path.iterdir()) == []
    left.end()


def test_a_cell_that_is_not_wanted_is_removed(tmp_path: Path) -> None:
    left = RowsLeft(tmp_path)
    left.leave(row(CELL))
    left.leave(row(OTHER))
    assert left.found([CELL], ["accuracy"]) == [row(CELL)]
    assert names(tmp_path) == [f"{CELL.key}.json"]


def changed(**values: Any) -> str:
    return json.dumps({**row(CELL).to_json(), **values})


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "3", '"text"', "{", "{}", "[" * 100_000, "\udc80", changed(key=OTHER.key), changed(seed=1),
        changed(method="cod"), changed(k="eight"), changed(accuracy=math.nan), changed(accuracy="high"),
        changed(accuracy=10**400), changed(steps="many"), json.dumps({"key": CELL.key}), changed(note="x" * LARGEST),
    ],
)  # fmt: skip
def test_what_is_not_the_row_of_its_cell_is_removed(tmp_path: Path, content: str) -> None:
    (tmp_path / ".finished").mkdir()
    file = tmp_path / ".finished" / f"{CELL.key}.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert RowsLeft(tmp_path).found([CELL], ["accuracy"]) == []
    assert names(tmp_path) == []


def test_a_row_with_other_metrics_is_removed(tmp_path: Path) -> None:
    for wanted in (["accuracy", "f1"], ["f1"], []):
        RowsLeft(tmp_path).leave(row(CELL))
        assert RowsLeft(tmp_path).found([CELL], wanted) == []
        assert names(tmp_path) == []


@pytest.mark.parametrize("make", [lambda file: os.mkfifo(file), lambda file: file.symlink_to("../precious.json")])
def test_a_pipe_and_a_link_are_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    precious = tmp_path / "precious.json"
    precious.write_text(changed())
    (tmp_path / ".finished").mkdir()
    make(tmp_path / ".finished" / f"{CELL.key}.json")
    assert RowsLeft(tmp_path).found([CELL], ["accuracy"]) == []
    assert names(tmp_path) == [] and precious.exists()


def test_a_link_in_place_of_the_folder_is_removed_and_nothing_behind_it(tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    RowsLeft(elsewhere).leave(row(CELL))
    run.mkdir()
    (run / ".finished").symlink_to(elsewhere / ".finished")
    assert RowsLeft(run).found([CELL], ["accuracy"]) == []
    assert not (run / ".finished").is_symlink() and names(elsewhere) == [f"{CELL.key}.json"]


def test_other_files_and_folders_stay(tmp_path: Path) -> None:
    (tmp_path / ".finished" / "folder.json").mkdir(parents=True)
    (tmp_path / ".finished" / "notes.txt").touch()
    RowsLeft(tmp_path).end()
    assert names(tmp_path) == ["folder.json", "notes.txt"]
