"""A run's folder: the files that a run writes, and how a second call finds the finished cells."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cod_runner.blame import ComponentFailed, log_traceback
from cod_runner.errors import CodrunError
from cod_runner.files import lock, sweep, write_whole
from cod_runner.machine import provenance
from cod_runner.plain_text import LogLines, without_nan
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.declared import methods_without_teacher, metrics_of, terms_of_teacher
from cod_runner.runs.failed import not_numbers
from cod_runner.runs.reading import checked_record, is_whole, numbered_lines, read_record_file, rows_of
from cod_runner.runs.records import CellRow, RunRecord
from cod_runner.runs.rows_left import RowsLeft

LOG = logging.getLogger("codrun")
KEPT_BETWEEN_CALLS = (
    "started",
    "finished",
    "seconds",
    "calls",
    "tokens",
    "cost",
    "shared_queries",
    "teacher",
    "data",
    "notes",
    "stages",
    "quality",
    "origins",
    "longest_input",
    "folds",
    "not_kept",
    "verdicts",
    "code",
)

OF_THESE_SETTINGS = ("notes", "folds", "not_kept", "verdicts")
"""Of these, what is not true any more where data, teacher, student, training or evaluation have changed."""

FORMER_FILES = r"run\.json|recipe\.yaml|\.id|table\.(?:md|csv)|report\.html|(?:counterfactuals|control)\.jsonl"
FORMER_STUDENTS = r".+-k\d+-s\d+"
"""What earlier versions wrote half when they were killed; see :func:`cod_runner.files.sweep`."""


class QuietHandler(logging.FileHandler):
    """A log that loses lines where the disk is full, and says nothing of it: what matters is written elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class RunFolder:
    """``runs/<name>/``: every path in it, and the only code that appends to ``cells.jsonl``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells = path / "cells.jsonl"
        self.counterfactuals = path / "counterfactuals.jsonl"
        self.recipe = path / "recipe.yaml"
        self.record = path / "run.json"
        self.log = path / "run.log"
        self.students = path / "students"
        self.figures = path / "figures"
        self.signals = path / ".signals"
        self.rows_left = RowsLeft(path)

    def outcomes(self, search: str) -> Path:
        """The file of what a search found: ``counterfactuals.jsonl`` is one of them."""
        return self.path / f"{search}.jsonl"

    @contextmanager
    def opened(self) -> Iterator[RunFolder]:
        """Create the folder, lock it against a second run, remove what a killed one left half-written, and log to
        ``run.log`` while the block runs, the traceback of a component that fails included.

        The signals that cells read go when the block ends: those of a killed run too, but not before, since a worker
        on another host may have outlived it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CodrunError(f"the run folder {self.path} cannot be created: {error.strerror}") from error
        busy = f"{self.path} is in use by another codrun; wait until it has ended, or choose another --out"
        with lock(self.path / ".lock", wait=False, busy=busy):
            self._sweep()
            try:
                handler = QuietHandler(self.log, encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise CodrunError(
                    f"{self.log} cannot be written ({error.strerror}); move it away or mend its permissions"
                ) from error
            handler.setFormatter(LogLines())
            LOG.addHandler(handler)
            LOG.setLevel(logging.INFO)
            LOG.propagate = False
            try:
                yield self
            except ComponentFailed as error:
                log_traceback(error)
                error.log = self.log
                raise
            finally:
                shutil.rmtree(self.signals, ignore_errors=True)
                LOG.removeHandler(handler)
                with suppress(OSError):  # the disk may be full
                    handler.close()
                self._sweep()  # a worker of a killed run may have ended only after this one began

    def _sweep(self) -> None:
        for folder, former in ((self.path, FORMER_FILES), (self.students, FORMER_STUDENTS), (self.figures, "")):
            sweep(folder, former)

    @property
    def identifier(self) -> str:
        """A random name under which this run's spending is counted. It is stored in the folder, so that it survives
        a move and is a new one after the folder is deleted. Read it inside :meth:`opened`."""
        path = self.path / ".id"
        try:
            if not path.exists():
                write_whole(path, uuid.uuid4().hex)
            found = path.read_bytes().strip()
        except OSError as error:
            raise CodrunError(f"{path} cannot be read ({error.strerror}); mend its permissions") from error
        if not re.fullmatch(rb"[0-9a-f]{32}", found):
            raise CodrunError(f"{path} is damaged; delete it: the budget then counts no call that was made before")
        return found.decode()

    def begin(
        self, loaded: LoadedRecipe, registry: Registry, cell_keys: list[str], settings: str | None = None
    ) -> RunRecord:
        """Write the resolved recipe and return the run's record, continuing that of an earlier call if there is one.

        ``cell_keys`` are the keys of all cells of the recipe, ``settings`` is the hash of what they share. The
        record includes what a report must know of the
        recipe's metrics and losses; only :meth:`write_record` writes it to disk. Raises :class:`SettingError` for a
        metric that cells.jsonl cannot hold.
        """
        metrics = metrics_of(loaded.recipe, registry)
        write_whole(self.recipe, loaded.to_yaml())
        earlier = read_record_file(self.record) or {}
        kept = {name: earlier[name] for name in KEPT_BETWEEN_CALLS if name in earlier}
        if earlier.get("settings", settings) != settings:
            kept = {name: value for name, value in kept.items() if name not in OF_THESE_SETTINGS}
        if isinstance(kept.get("notes"), list):  # what could not run then is tried again
            kept["notes"] = [note for note in kept["notes"] if note not in _left_out_then(earlier)]
        counterfactuals = loaded.recipe.counterfactuals
        return checked_record(
            self.record,
            {
                "started": now(),
                **kept,
                **provenance(),
                "recipe": loaded.recipe.name,
                "profile": loaded.profile,
                "metrics": metrics,
                "without_teacher": methods_without_teacher(loaded.recipe, registry),
                "terms_of_teacher": terms_of_teacher(loaded.recipe, registry),
                "student_from_teacher": registry.options(
                    "student", loaded.recipe.student.use, loaded.recipe.student.options
                ).from_teacher(),
                "cell_keys": cell_keys,
                "local_plugins": {
                    file.path.name: file.digest
                    for file in registry.local_files
                    if str(file.path) in loaded.recipe.plugins
                },
                "settings": settings,
                "optimistic": loaded.recipe.evaluate.select == "best_reported",
                "verified": counterfactuals is None
                or (counterfactuals.verify and counterfactuals.on_failure != "keep_unverified"),
            },
        )

    def write_record(self, record: RunRecord) -> None:
        """Replace ``run.json``."""
        data = without_nan(record.model_dump(mode="json"))
        write_whole(self.record, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def finished_rows(self, metrics: Collection[str]) -> dict[str, dict[str, Any]]:
        """The last complete line per key in ``cells.jsonl``; a torn line is ignored, and a cell one of whose
        ``metrics``, by the names of the recipe, is infinite or NaN is not finished.

        Raises :class:`CodrunError` for a line that a report could not read, before anything is run.
        """
        numbered = numbered_lines(self.cells)
        rows_of(self.cells, numbered, ())
        lines = {line["key"]: line for _, line in numbered}
        return {key: line for key, line in lines.items() if not not_numbers(line, metrics)}

    def append_row(self, row: CellRow) -> None:
        """Append a finished cell and wait until it is on disk; what a kill left of a line is removed first.

        Raises :class:`CodrunError` if it cannot be written; the file is then as before.
        """
        line = _json(row.to_json()) + b"\n"
        try:
            with self.cells.open("ab+", buffering=0) as file:
                whole = file.tell()
                if whole > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.seek(0)
                        torn = file.read().rpartition(b"\n")[2]
                        if is_whole(torn):  # all but its end
                            line = b"\n" + line
                        else:
                            whole -= len(torn)
                            file.truncate(whole)
                try:
                    if file.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(whole)
                    raise
        except OSError as error:
            raise CodrunError(
                f"{self.cells} cannot be written ({error.strerror}); free its disk or mend its permissions and repeat "
                "the command: what is finished is not repeated"
            ) from error

    def write_lines(self, path: Path, lines: list[dict[str, Any]]) -> None:
        """Replace a file by these JSON lines."""
        write_whole(path, b"".join(_json(line) + b"\n" for line in lines))


def _json(line: dict[str, Any]) -> bytes:
    """A line; half a surrogate pair, which a text may contain and UTF-8 may not, is escaped."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _left_out_then(earlier: dict[str, Any]) -> list[Any]:
    """The sentences of an earlier record on cells that could not run; it is unchecked."""
    left_out = earlier.get("left_out")
    return [each.get("sentence") for each in left_out if isinstance(each, dict)] if isinstance(left_out, list) else []


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
