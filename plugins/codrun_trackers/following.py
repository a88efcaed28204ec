"""What trackers of other tools have in common: each cell is logged once it is finished, from the run's own folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cod_runner.api import hookimpl
from codrun_trackers.contents import Contents


class Following(ABC):
    """Logs finished cells in the run's own process, curves included, which are read from ``training/``.

    No library is imported before the first cell is finished, and none in a worker.
    """

    contents: Contents

    @hookimpl
    def codrun_run_started(self, recipe: Mapping[str, Any], folder: Path) -> None:
        self.contents = Contents(recipe, folder.absolute())
        self.begin()

    @hookimpl
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        self.log_cell(row)

    @hookimpl
    def codrun_report_written(self, summary: Mapping[str, Any]) -> None:
        """Logs the run as a whole, and first the finished cells that a kill kept from being logged."""
        for row in self.contents.rows(summary["cell_keys"]):
            if not self.has(row):
                self.log_cell(row)
        self.log_run(summary)

    @abstractmethod
    def begin(self) -> None:
        """The run begins: check what can be checked."""

    @abstractmethod
    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a cell is logged in full."""

    @abstractmethod
    def log_cell(self, row: Mapping[str, Any]) -> None:
        """Log a finished cell, in the place of what was logged of it before, if anything."""

    @abstractmethod
    def log_run(self, summary: Mapping[str, Any]) -> None:
        """Log table, counterfactuals, recipe and notes; ``summary`` is what ``run.json`` holds."""
