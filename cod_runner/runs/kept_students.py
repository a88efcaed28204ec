"""Which students stay in a run's folder: ``students: all | best | none``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cod_runner.errors import CodrunError
from cod_runner.files import remove_whole
from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.cells import Cell
from cod_runner.runs.choice import by_setting, choose
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.records import CellRow
from cod_runner.runs.student_record import read_student_record


def students_kept(recipe: Recipe) -> int:
    """How many students of the recipe's cells lie on the disk at most, at any time of its run.

    With ``best``, one for each setting (method, arm, k) some seed of which is still to come, and the best of all
    others: a setting's mean is known only with its last seed.
    """
    settings = len(recipe.methods) * len(recipe.arms)
    cells = settings * len(recipe.k) * len(recipe.seeds)
    if recipe.students == "all":
        return cells
    if recipe.students == "none":
        return 0
    # Cells run by k, so that the settings of one k are unfinished at a time; or by fold, so that all are.
    unfinished = settings * (len(recipe.k) if recipe.evaluate.folds is not None else 1)
    return min(cells, unfinished + 1)


def cannot_be_chosen(
    rows: Sequence[CellRow], unfinished: Iterable[Cell], without_teacher: Collection[str] = ()
) -> list[CellRow]:
    """The rows that :func:`choose` cannot take, whatever the ``unfinished`` cells bring."""
    if not rows:
        return []
    open_settings = {cell.setting for cell in unfinished}
    rows_of = by_setting(rows)
    may_win = {choose(rows_of[setting]).row.key for setting in open_settings & rows_of.keys()}
    closed = [row for row in rows if row.setting not in open_settings]
    if closed:
        may_win.add(choose(closed, without_teacher=without_teacher).row.key)
    return [row for row in rows if row.key not in may_win]


def is_saved(folder: RunFolder, row: CellRow | Cell) -> bool:
    """Whether the student of this very cell is in the run's folder, and no other of its name."""
    try:
        record = read_student_record(folder.students / row.name)
    except CodrunError:
        return False
    return record is not None and record.key == row.key


def remove_student(folder: RunFolder, row: CellRow) -> None:
    """Remove what this run saved of the cell; a folder that says that it is of another cell stays."""
    if is_saved(folder, row):
        remove_whole(folder.students / row.name)
