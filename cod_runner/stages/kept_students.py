"""Stage 4, as the recipe's ``students`` says: no more students on the disk than it needs, and none that it lacks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cod_runner.context import RunContext
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.choice import Setting, by_setting, choose
from cod_runner.runs.declared import methods_without_teacher
from cod_runner.runs.kept_students import cannot_be_chosen, is_saved, remove_student
from cod_runner.runs.reading import current_rows, read_rows
from cod_runner.runs.records import CellRow, RunRecord


def note_students_not_kept(context: RunContext, record: RunRecord, cells: Sequence[Cell]) -> None:
    """Note, before any is removed or left unwritten, whose students may not be there after this run."""
    if context.recipe.students != "all":
        record.not_kept = list(dict.fromkeys([*record.not_kept, *(cell.key for cell in cells)]))
        context.folder.write_record(record)


class BestSoFar:
    """With ``best``: as cells finish, removes the students that the choice among the recipe's cells cannot fall on any
    more. What a cell costs does not grow with the run: its own setting is judged anew, and all that are complete only
    where it completes its own."""

    def __init__(self, context: RunContext, training: Collection[str]) -> None:
        """The cells whose keys are in ``training`` are still to come, also where they have a line of an earlier
        call."""
        self._context, self._wanted = context, context.recipe.students == "best"
        self._rows: dict[Setting, list[CellRow]] = {}
        self._unfinished: dict[Setting, dict[str, Cell]] = {}
        self._removed: set[str] = set()
        if not self._wanted:
            return
        cells = cells_of(context.recipe, context.registry)
        self._rows = by_setting(row for row in _rows(context, cells) if row.key not in training)
        finished = {row.key for rows in self._rows.values() for row in rows}
        for cell in cells:
            if cell.key not in finished:
                self._unfinished.setdefault(cell.setting, {})[cell.key] = cell
        self._floor = methods_without_teacher(context.recipe, context.registry)
        self._remove([row for rows in self._rows.values() for row in rows])

    def finished(self, row: CellRow) -> None:
        """A cell is on disk."""
        if not self._wanted:
            return
        setting = row.setting
        self._rows.setdefault(setting, []).append(row)
        waiting = self._unfinished.get(setting, {})
        waiting.pop(row.key, None)
        if waiting:
            self._remove(self._rows[setting])
        else:
            self._unfinished.pop(setting, None)
            self._remove([row for of, rows in self._rows.items() if of not in self._unfinished for row in rows])

    def _remove(self, rows: Sequence[CellRow]) -> None:
        """Those of these rows that are out of the running: all of an unfinished setting, or of all finished ones."""
        unfinished = [cell for cells in self._unfinished.values() for cell in list(cells.values())[:1]]
        for row in cannot_be_chosen(rows, unfinished, self._floor):
            if row.key not in self._removed:
                self._removed.add(row.key)
                remove_student(self._context.folder, row)


def students_to_train_again(context: RunContext, record: RunRecord, cells: Sequence[Cell]) -> list[Cell]:
    """Finished cells whose students an earlier call removed or did not write, and this one wants."""
    if not record.not_kept:
        return []
    rows = {row.key: row for row in _rows(context, cells)}
    wanted: set[str] = set()
    if context.recipe.students == "all":
        wanted = set(rows)
    elif context.recipe.students == "best" and rows:
        wanted = {_chosen(context, list(rows.values())).key}
    gone = wanted & set(record.not_kept)
    return [cell for cell in cells if cell.key in gone and not is_saved(context.folder, cell)]


def settle_students(context: RunContext, record: RunRecord, cells: Sequence[Cell]) -> None:
    """At the end of a run: with ``best`` the chosen student alone is left; says which, and notes whose are gone."""
    recipe, folder, progress = context.recipe, context.folder, context.progress
    if recipe.students == "best" and (rows := _rows(context, cells)):
        chosen = _chosen(context, rows)
        for row in rows:
            if row.key != chosen.key:
                remove_student(folder, row)
        progress.say(f"students: of {len(rows)} the best is kept, {chosen.name}")
    asked = record.not_kept or recipe.students == "none"  # else nobody asks, and each has a file to read
    saved = {cell.key for cell in cells if is_saved(folder, cell)} if asked else set()
    if recipe.students == "none":
        there = f"; {len(saved)} that an earlier call wrote are left as they are" if saved else ""
        progress.say(f"students: no weights are kept, as the recipe says{there}")
    record.students = recipe.students
    record.not_kept = [key for key in record.not_kept if key not in saved]


def _chosen(context: RunContext, rows: Sequence[CellRow]) -> CellRow:
    return choose(rows, without_teacher=methods_without_teacher(context.recipe, context.registry)).row


def _rows(context: RunContext, cells: Sequence[Cell]) -> list[CellRow]:
    metrics = [use.use for use in context.recipe.evaluate.metrics]
    return current_rows(read_rows(context.folder.cells, metrics), [cell.key for cell in cells])[0]
