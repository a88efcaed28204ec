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
    can follow it meanwhile. A cell may train in one thread while another thread hears that an earlier one is finished.
    """

    def __init__(self, options: Options, context: BuildContext) -> None:
        self._folder = (context.run or Path()) / TRAINING
        self._open: dict[int, tuple[str, FileIO]] = {}
        """By thread, the key of the cell that trains in it, and its file."""
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
                self._close(threading.get_ident())
                raise CodrunError(
                    f"{path} cannot be written ({error.strerror}), so there are no training curves"
                ) from error

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        with self._lock:
            for thread in [thread for thread, (key, _) in self._open.items() if key == row["key"]]:
                self._close(thread)

    @hookimpl
    def codrun_run_finished(self) -> None:
        with self._lock:
            for thread in list(self._open):
                self._close(thread)

    def _file(self, path: Path, key: str, step: int) -> FileIO:
        """The file of this thread's cell, begun anew at its first step."""
        thread = threading.get_ident()
        if step == 1 or self._open.get(thread, ("",))[0] != key:
            self._close(thread)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[thread] = key, FileIO(path, "w" if step == 1 else "a")
        return self._open[thread][1]

    def _close(self, thread: int) -> None:
        _, file = self._open.pop(thread, ("", None))
        if file is not None:
            file.close()
