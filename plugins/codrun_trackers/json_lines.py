"""The losses of every step in a file of each cell, from which reports and other trackers draw curves."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, CodrunError, Options, hookimpl
from codrun_trackers.contents import TRAINING, cell_name


class JsonLines:
    """``training/<cell>.jsonl``: a line ``{"key", "step", "losses"}`` a step, begun anew where a training begins.

    Written where the cell trains, each line in one piece, so that it is whole when the cell is finished and a reader
    can follow it meanwhile. One cell trains at a time in a process, but perhaps in another thread than the one that
    hears of finished cells.
    """

    def __init__(self, options: Options, context: BuildContext) -> None:
        self._folder = (context.run or Path()) / TRAINING
        self._open: tuple[str, FileIO] | None = None
        """The key of the cell that trains, and its file."""
        self._lock = threading.Lock()

    @hookimpl
    def codrun_step(self, cell: Mapping[str, Any], step: int, losses: Mapping[str, float]) -> None:
        line = json.dumps({"key": cell["key"], "step": step, "losses": dict(losses)}).encode() + b"\n"
        path = self._folder / f"{cell_name(cell)}.jsonl"
        with self._lock:
            try:
                if self._file(path, cell["key"], step).write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._close()
                raise CodrunError(
                    f"{path} cannot be written ({error.strerror}), so there are no training curves"
                ) from error

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        with self._lock:
            if self._open is not None and self._open[0] == row["key"]:
                self._close()

    @hookimpl
    def codrun_run_finished(self) -> None:
        with self._lock:
            self._close()

    def _file(self, path: Path, key: str, step: int) -> FileIO:
        """The cell's file, begun anew at its first step."""
        if step == 1 or self._open is None or self._open[0] != key:
            self._close()
            path.parent.mkdir(parents=True, exist_ok=True)
            # A new file, since the same cell may train in a worker that an earlier call has left, and write on there.
            if step == 1:
                path.unlink(missing_ok=True)
            self._open = key, FileIO(path, "a")
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
