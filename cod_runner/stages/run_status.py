"""What is shown of a run beside its stages: how many cells are done, how the losses of those that train stand, and what
was spent."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cod_runner.api import Example, hookimpl
from cod_runner.context import RunContext
from cod_runner.durations import Pace, left_in_words
from cod_runner.engine.steps import steps_at
from cod_runner.runs.records import cell_name
from cod_runner.stages.timing import NAMES

SHOWN_AT_ONCE = 4
SECONDS_BETWEEN_LOOKS = 2.0
"""At the files that workers write: a terminal is drawn more often."""
SECONDS_UNTIL_STALE = 120.0
"""A cell that has not written for so long has failed, or is at something else."""
LONGEST_LINE = 4096
"""Bytes at the end of a file that hold its last line."""


@dataclass(frozen=True)
class Reached:
    """How far a cell that trains is: its step and the unweighted losses of it, by term."""

    step: int
    losses: Mapping[str, float]

    def told(self, of: int, left: str) -> str:
        """In words; ``left`` is how long it takes from here, where that is known."""
        losses = [f"{name} {value:.3g}" for name, value in self.losses.items()]
        return ", ".join(filter(None, [f"step {self.step:,} of {of:,}", left, *losses]))


@dataclass
class RunStatus:
    """Observes a run through its hooks, and reads how far a cell is from the end of its file of losses, which is
    written where it trains: ``training/<cell>.jsonl``."""

    context: RunContext
    cells: int
    """Of the run, all calls together."""
    done: int
    _handed: int = 0
    """Cells that were given to the executor."""
    _training: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The cells that wait or train, by key."""
    _reached: dict[str, Reached] = field(default_factory=dict)
    _paces: dict[str, Pace] = field(default_factory=lambda: defaultdict(Pace))
    _since: float = field(default_factory=time.time)
    _looked: float = 0.0

    @hookimpl
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        """A cell is handed to the executor."""
        self._training[cell["key"]] = dict(cell)
        self._handed += 1

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        """A cell is on disk."""
        self.done += 1
        self._training.pop(row["key"], None)
        self._reached.pop(row["key"], None)

    def lines(self) -> list[str]:
        """One on the run, and one for each of a few cells that train."""
        cells = "" if self._handed == self.cells else f"{self.done} of {self.cells} cells"  # else the bar says so
        of_the_run = "; ".join(filter(None, [cells, *self.context.told_spending()]))
        self._look_at_the_files()
        # drawn by another thread than the one that trains, in which a cell may end meanwhile
        known = [(self._training.get(key), reached) for key, reached in list(self._reached.items())]
        training = [(cell, reached) for cell, reached in known if cell is not None]
        shown = [self._told(cell, reached) for cell, reached in training[:SHOWN_AT_ONCE]]
        more = len(training) - len(shown)
        return [*filter(None, [of_the_run]), *shown, *([f"and {more} more"] if more else [])]

    def _told(self, cell: Mapping[str, Any], reached: Reached) -> str:
        now, pace, steps = time.monotonic(), self._paces[cell["key"]], steps_at(self.context.recipe.train, cell["k"])
        pace.step(now, reached.step, steps)
        seconds = pace.left(now)
        return f"{_name(cell)}: {reached.told(steps, '' if seconds is None else left_in_words(seconds))}"

    def _look_at_the_files(self) -> None:
        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        for key, cell in list(self._training.items()):
            path = self.context.folder.path / "training" / f"{_name(cell)}.jsonl"
            reached = last_step(path, key, max(self._since, time.time() - SECONDS_UNTIL_STALE))
            if reached is None:
                self._reached.pop(key, None)
            elif key in self._training:
                self._reached[key] = reached


def last_step(path: Path, key: str, since: float) -> Reached | None:
    """The last whole line of a file of losses; None where it is not of the cell ``key``, or was written before
    ``since`` (seconds of the epoch), by a call that was interrupted."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.stat().st_mtime < since:
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LINE))
            line = json.loads(file.read().rpartition(b"\n")[0].rpartition(b"\n")[2])
        if line["key"] == key:
            return Reached(int(line["step"]), {str(name): float(value) for name, value in line["losses"].items()})
    return None


def _name(cell: Mapping[str, Any]) -> str:
    return cell_name(cell["method"], cell["arm"], cell["k"], cell["seed"])


@contextmanager
def shown_status(context: RunContext, cells: int, done: int) -> Iterator[None]:
    """One display of the whole run, for a block; ``done`` of its ``cells`` were finished before."""
    following = RunStatus(context, cells, done)
    with context.registry.observed_by(following), context.progress.run(NAMES, following.lines):
        yield
