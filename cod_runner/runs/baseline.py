"""Another run's folder, read for the numbers that this one's must be near to. Nothing of it is run or changed."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import CodrunError
from cod_runner.runs.reading import checked_record, current_rows, read_record_file, read_rows
from cod_runner.runs.records import CellRow, QualityRow

LARGEST_RECORD = 20_000_000
LARGEST_CELLS = 200_000_000
"""Bytes of ``run.json`` and of ``cells.jsonl``; no run of ours comes near."""


@dataclass(frozen=True)
class Baseline:
    """What an expectation can be about, of a run."""

    rows: Sequence[CellRow]
    quality: Sequence[QualityRow]


def read_baseline(folder: Path) -> Baseline:
    """Read ``run.json`` and ``cells.jsonl``; raises :class:`CodrunError` that says which of them is absent or wrong.

    The folder may come from a stranger: a link, a pipe, or a file far too large is not read.
    """
    if not folder.is_dir():
        raise CodrunError(f"{folder} is not a folder; run the recipe that makes it first, or correct `of`")
    path, cells = folder / "run.json", folder / "cells.jsonl"
    _check(path, LARGEST_RECORD)
    _check(cells, LARGEST_CELLS)
    found = read_record_file(path)
    assert found is not None  # it was there a moment ago
    record = checked_record(path, found)
    rows, _ = current_rows(read_rows(cells, record.metric_names), record.cell_keys)
    return Baseline(rows, record.quality)


def _check(path: Path, largest: int) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise CodrunError(f"{path.parent} has no {path.name}: it is not the folder of a run that has ended") from None
    except OSError as error:
        raise CodrunError(f"{path} cannot be read ({error.strerror}); mend its permissions") from error
    if not stat.S_ISREG(found.st_mode):
        raise CodrunError(f"{path} is not a regular file, and is not read")
    if found.st_size > largest:
        raise CodrunError(f"{path} has more than {largest:,} bytes, and is not read")
