"""Every hook of codrun on one page: what plugins declare, and what trackers observe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cod_runner.api import Component, Example, Teacher, hookspec


class Hooks:
    """Every hook a plugin may implement. All are optional; the entry point names a module or an object.

    All but ``codrun_step`` are called in the run's own process, on the one object that the tracker's ``build`` made.
    An observer that raises is named once and called no more, and the run goes on without it; a :class:`SettingError`,
    which says that the recipe does not suit it, ends the run.
    """

    @hookspec
    def codrun_components(self) -> Iterable[Component]:
        """Declare components. Called once, at start; must import nothing heavy."""
        return ()

    @hookspec
    def codrun_run_started(self, recipe: Mapping[str, Any], cells: int, folder: Path) -> None:
        """A run begins: the resolved recipe as plain data, how many cells are left to run, and the run's folder."""

    @hookspec
    def codrun_teacher_ready(self, teacher: Teacher, pool: Sequence[Example]) -> None:
        """The data are read and the teacher is trained. It is freed before students train: copy what you need of it."""

    @hookspec
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        """A cell (``key, method, arm, k, seed``) is handed to the executor with the examples that it trains on."""

    @hookspec
    def codrun_step(self, cell: Mapping[str, Any], step: int, losses: Mapping[str, float]) -> None:
        """Losses per term, unweighted, at every logged step of the training of a cell (``key, method, arm, k, seed``).

        Called where the cell trains: with ``--jobs 1`` on the same object as the other hooks; with more, on a tracker
        that the worker process built for itself, which gets no other hook and shares nothing with the run's own but
        what it writes to disk.
        """

    @hookspec
    def codrun_cell_finished(self, row: Mapping[str, Any]) -> None:
        """A cell is on disk; ``row`` is its line of ``cells.jsonl``."""

    @hookspec
    def codrun_run_finished(self, summary: Mapping[str, Any], folder: Path) -> None:
        """The run is over and its students are on disk, but for those whose cells' keys are in ``not_kept`` of
        ``summary``, which is what ``run.json`` holds."""

    @hookspec
    def codrun_report_written(self, summary: Mapping[str, Any], folder: Path) -> None:
        """Tables, figures and pages of the run are in its folder, with all that trackers drew before."""
