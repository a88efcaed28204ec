"""When a cell counts as one of the run's: it is on disk, and whoever follows the run was told. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.context import RunContext
from cod_runner.runs.cells import Cell
from cod_runner.runs.records import CellRow
from cod_runner.stages.kept_students import BestSoFar


def record_finished(context: RunContext, row: CellRow, kept: BestSoFar) -> None:
    """Let a finished cell be one of the run's: its row in ``cells.jsonl``, observers told, and students removed that
    cannot be chosen any more."""
    context.folder.append_row(row)
    context.folder.rows_left.forget(row.key)
    context.observers.notify("codrun_cell_finished", row=row.to_json())
    kept.finished(row)


def cells_without_row(cells: Sequence[Cell], rows: Sequence[CellRow]) -> list[Cell]:
    """The cells of which there is no row."""
    keys = {row.key for row in rows}
    return [cell for cell in cells if cell.key not in keys]


def record_left_by_workers(context: RunContext, rows: Sequence[CellRow], waiting: Sequence[Cell]) -> None:
    """Count in the cells that workers of an earlier call finished when it could not hear of them any more. Trackers
    must be there; ``waiting`` are the cells that are still to come."""
    if not rows:
        return
    kept = BestSoFar(context, {cell.key for cell in waiting} | {row.key for row in rows})
    for row in rows:
        record_finished(context, row, kept)
    cells = "1 cell was" if len(rows) == 1 else f"{len(rows)} cells were"
    context.progress.say(f"{cells} finished by workers that had outlived an earlier call; they count")
