"""A run's folder: the files that a run writes, and how a second call finds the finished cells."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cod_runner.errors import CodrunError
from cod_runner.files import lock, sweep, write_whole
from cod_runner.machine import provenance
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.declared import methods_without_teacher, metrics_of
from cod_runner.runs.reading import json_lines
from cod_runner.runs.records import CellRow, RunRecord

LOG = logging.getLogger("codrun")
KEPT_BETWEEN_CALLS = (
    "started",
    "finished",
    "seconds",
    "calls",
    "tokens",
    "cost",
    "teacher",
    "data",
    "notes",
    "quality",
)

FORMER_FILES = r"run\.json|recipe\.yaml|\.id|table\.(?:md|csv)|report\.html|(?:counterfactuals|control)\.jsonl"
FORMER_STUDENTS = r".+-k\d+-s\d+"
"""What earlier versions wrote half when they were killed; see :func:`cod_runner.files.sweep`."""


class RunFolder:
    """``runs/<name>/``: every path in it, and the only code that appends to ``cells.jsonl``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells = path / "cells.jsonl"
        self.counterfactuals = path / "counterfactuals.jsonl"
        self.control = path / "control.jsonl"
        self.recipe = path / "recipe.yaml"
        self.record = path / "run.json"
        self.log = path / "run.log"
        self.students = path / "students"
        self.figures = path / "figures"

    @contextmanager
    def opened(self) -> Iterator[RunFolder]:
        """Create the folder, lock it against a second run, remove what a killed one left half-written, and log to
        ``run.log`` while the block runs."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CodrunError(f"the run folder {self.path} cannot be created: {error.strerror}") from error
        busy = f"{self.path} is in use by another codrun; wait until it has ended, or choose another --out"
        with lock(self.path / ".lock", wait=False, busy=busy):
            for folder, former in ((self.path, FORMER_FILES), (self.students, FORMER_STUDENTS), (self.figures, "")):
                sweep(folder, former)
            handler = logging.FileHandler(self.log, encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            LOG.addHandler(handler)
            LOG.setLevel(logging.INFO)
            LOG.propagate = False
            try:
                yield self
            finally:
                LOG.removeHandler(handler)
                handler.close()

    @property
    def identifier(self) -> str:
        """A random name under which this run's spending is counted. It is stored in the folder, so that it survives
        a move and is a new one after the folder is deleted. Read it inside :meth:`opened`."""
        path = self.path / ".id"
        if not path.exists():
            write_whole(path, uuid.uuid4().hex)
        return path.read_text(encoding="utf-8").strip()

    def begin(self, loaded: LoadedRecipe, registry: Registry, cell_keys: list[str]) -> RunRecord:
        """Write the resolved recipe and return the run's record, continuing that of an earlier call if there is one.

        ``cell_keys`` are the keys of all cells of the recipe. The record includes what a report must know of the
        recipe's metrics and losses; only :meth:`write_record` writes it to disk. Raises :class:`SettingError` for a
        metric that cells.jsonl cannot hold.
        """
        metrics = metrics_of(loaded.recipe, registry)
        write_whole(self.recipe, loaded.to_yaml())
        earlier = {}
        if self.record.exists():
            try:
                earlier = json.loads(self.record.read_text(encoding="utf-8"))
            except json.JSONDecodeError:
                LOG.warning("run.json was incomplete; a new one replaces it")
        kept = {name: earlier[name] for name in KEPT_BETWEEN_CALLS if name in earlier}
        counterfactuals = loaded.recipe.counterfactuals
        return RunRecord.model_validate(
            {
                "started": now(),
                **kept,
                **provenance(),
                "recipe": loaded.recipe.name,
                "profile": loaded.profile,
                "command": f"codrun {loaded.path}" + (f" --profile {loaded.profile}" if loaded.profile else ""),
                "metrics": metrics,
                "without_teacher": methods_without_teacher(loaded.recipe, registry),
                "cell_keys": cell_keys,
                "optimistic": loaded.recipe.evaluate.select == "best_reported",
                "verified": counterfactuals is None
                or (counterfactuals.verify and counterfactuals.on_failure != "keep_unverified"),
            }
        )

    def write_record(self, record: RunRecord) -> None:
        """Replace ``run.json``."""
        write_whole(self.record, json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")

    def finished_rows(self) -> dict[str, dict[str, Any]]:
        """The last complete line per key in ``cells.jsonl``; a torn line is ignored."""
        return {line["key"]: line for line in json_lines(self.cells) if isinstance(line.get("key"), str)}

    def append_row(self, row: CellRow) -> None:
        """Append a finished cell and wait until it is on disk; if the last line is torn, it is terminated first."""
        line = json.dumps(row.to_json(), ensure_ascii=False) + "\n"
        with self.cells.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def write_lines(self, path: Path, lines: list[dict[str, Any]]) -> None:
        """Replace a file by these JSON lines."""
        write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
