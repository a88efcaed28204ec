"""Rows of finished cells that workers leave in the run's folder, for the process that appends them to ``cells.jsonl``.

A worker on a cluster may outlive the process that handed it its cell: what it finished is then taken in by the next.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cod_runner.errors import CodrunError
from cod_runner.files import sweep, write_whole
from cod_runner.runs.cells import Cell
from cod_runner.runs.failed import not_numbers
from cod_runner.runs.records import FIELDS, CellRow

LARGEST = 1 << 20
"""Bytes; a row takes less than two thousand."""


class RowsLeft:
    """``<run>/.finished/<key>.json``: a file for each cell that a worker finished and the run has not counted yet.

    Whoever may write into the run's folder may write here, so that nothing here is believed unchecked: a file that is
    not the row of a wanted cell is removed, and a link is never followed.
    """

    def __init__(self, run: Path) -> None:
        """``run`` is the run's folder."""
        self.folder = run / ".finished"

    def leave(self, row: CellRow) -> None:
        """Write a row whole or not at all; the cell's student must be in its place by then.

        Raises :class:`CodrunError` where it cannot be written.
        """
        write_whole(self._file(row.key), json.dumps(row.to_json()))

    def forget(self, key: str) -> None:
        """The row of this cell is in ``cells.jsonl``."""
        with suppress(OSError):
            self._file(key).unlink(missing_ok=True)

    def found(self, wanted: Sequence[Cell], metrics: Collection[str]) -> list[CellRow]:
        """:meth:`seen`, and removes every other row: one of a cell that is not wanted, one that is damaged, and one
        that says something else than its cell, or holds other metrics. Nothing but the run that holds the folder's lock
        may call this.
        """
        if self.folder.is_symlink():  # a link in its place
            with suppress(OSError):
                self.folder.unlink()
        rows = self.seen(wanted, metrics)
        if self.folder.is_dir():
            sweep(self.folder)
            keys = {row.key for row in rows}
            for file in self.folder.glob("*.json"):
                if file.stem not in keys:
                    self.forget(file.stem)
        return rows

    def seen(self, wanted: Sequence[Cell], metrics: Collection[str]) -> list[CellRow]:
        """The rows of the ``wanted`` cells, in their order; ``metrics`` are the names of the recipe's. Changes
        nothing."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return []
        return [row for cell in wanted if (row := self._read(cell, metrics)) is not None]

    def end(self) -> None:
        """Remove the folder with all rows in it, but nothing that a living process writes."""
        self.found((), ())
        with suppress(OSError):  # not empty, or not there
            self.folder.rmdir()

    def _read(self, cell: Cell, metrics: Collection[str]) -> CellRow | None:
        """The cell's row; None where there is none that can be used."""
        try:
            line = json.loads(_content(self._file(cell.key)))
            row = CellRow.from_json(line, metrics)
        except (OSError, ValueError, AttributeError, RecursionError, CodrunError):
            return None
        is_the_cells = (row.key, row.name) == (cell.key, cell.name) and row.metrics.keys() == set(metrics)
        if not is_the_cells or row.extra or not_numbers(row.metrics, metrics):
            return None
        # the check makes 0 a 0.0, and the line must be as the worker would have had it written
        same = {name: line[key] for key, name in FIELDS.items() if key in line and line[key] == getattr(row, name)}
        return replace(row, **same)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _content(path: Path) -> bytes:
    """Raises :class:`OSError` for anything but a small file: a link, a pipe that nobody writes to."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > LARGEST:
            raise OSError(f"{path} is not a small file")
        return file.read()
