"""The losses of every step in a file of each cell, from which reports and other trackers draw curves."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, CodrunError, Options, hookimpl
from codrun_trackers.contents import TRAINING, cell_name


class JsonLines:
    """``training/<cell>.jsonl``: a line ``{"key", "step", "losses"}`` a step, begun anew where a training begins.

    Written where the cell trains, each line in one piece, so that it is whole when the cell is finished and a reader
    can follow it meanwhile.
    """

    def __init__(self, options: Options, context: BuildContext) -> None:
        self._folder = (context.run or Path()) / TRAINING
        self._key = ""
        self._file: FileIO | None = None

    @hookimpl
    def codrun_step(self, cell: Mapping[str, Any], step: int, losses: Mapping[str, float]) -> None:
        line = json.dumps({"key": cell["key"], "step": step, "losses": dict(losses)}).encode() + b"\n"
        path = self._folder / f"{cell_name(cell)}.jsonl"
        try:
            if self._file is None or step == 1 or cell["key"] != self._key:
                self._open(path, cell["key"], anew=step == 1)
            assert self._file is not None
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._close()
            raise CodrunError(
                f"{path} cannot be written ({error.strerror}), so there are no training curves"
            ) from error

    @hookimpl
    def codrun_cell_finished(self) -> None:
        self._close()

    @hookimpl
    def codrun_run_finished(self) -> None:
        self._close()

    def _open(self, path: Path, key: str, *, anew: bool) -> None:
        self._close()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._key = FileIO(path, "w" if anew else "a"), key

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
