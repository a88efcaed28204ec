"""Students that the choice cannot fall on go as cells finish, and what is left is what a look at everything leaves."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cod_runner.runs.cells import Cell
from cod_runner.runs.kept_students import cannot_be_chosen
from cod_runner.runs.records import CellRow
from cod_runner.stages import kept_students
from cod_runner.stages.kept_students import BestSoFar


def cells() -> list[Cell]:
    return [
        Cell(method, arm, k, seed, f"{method}-{arm}-{k}-{seed}")
        for k in (8, 16)
        for seed in range(3)
        for method in ("kd", "lwd")
        for arm in ("plain", "cod")
    ]


def row_of(cell: Cell, loss: float) -> CellRow:
    return CellRow(cell.key, cell.method, cell.arm, cell.k, cell.seed, held_out_rows=20, held_out_loss=loss)


@pytest.mark.parametrize("seed", range(20))
def test_it_removes_what_a_look_at_all_rows_removes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    every = cells()
    draw.shuffle(every)
    earlier, later = every[:7], every[7:]
    there = [row_of(cell, draw.random()) for cell in earlier]
    removed: list[str] = []
    read: list[int] = []

    def rows(*_: Any) -> list[CellRow]:
        read.append(1)
        return there

    monkeypatch.setattr(kept_students, "cells_of", lambda *_: every)
    monkeypatch.setattr(kept_students, "_rows", rows)
    monkeypatch.setattr(kept_students, "methods_without_teacher", lambda *_: [])
    monkeypatch.setattr(kept_students, "remove_student", lambda folder, row: removed.append(row.key))
    context: Any = SimpleNamespace(recipe=SimpleNamespace(students="best"), registry=None, folder=Path())
    kept = BestSoFar(context, {cell.key for cell in later})
    finished = list(there)
    for number, cell in enumerate(later):
        if number == 3:
            continue  # it failed
        finished.append(row_of(cell, draw.random()))
        kept.finished(finished[-1])
        done = {row.key for row in finished}
        out = cannot_be_chosen(finished, [each for each in every if each.key not in done])
        assert {row.key for row in out} <= set(removed)
        assert len(removed) == len(set(removed)), "each is removed once"
    assert set(removed) == {row.key for row in out}
    assert len(read) == 1, "the lines are read once, not for each cell"


def test_where_all_students_stay_nothing_is_read() -> None:
    context: Any = SimpleNamespace(recipe=SimpleNamespace(students="all"))
    BestSoFar(context, set()).finished(row_of(cells()[0], 0.5))
