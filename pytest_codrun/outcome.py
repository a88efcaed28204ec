"""What running a recipe showed, and how the run happens once, whichever test and process needs it first."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cod_runner.calling import Asked, run_as_asked
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import lock, remove_whole, write_whole
from cod_runner.plain_text import one_line
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.records import VerdictRecord
from pytest_codrun.places import Place


class Outcome(BaseModel):
    """What the tests of one recipe are judged by."""

    session: str = ""
    """The pytest-xdist session whose workers share it; empty without."""
    folder: str
    failure: str | None = None
    """Why the run failed; then there is no verdict."""
    left_out: str = ""
    """Which cells could not run or failed, and why."""
    verdicts: list[VerdictRecord] = []
    """On every expectation of the recipe: those that run, then those whose cells are left out."""


def outcome_of(asked: Asked, settings: RunSettings, place: Place, session: str, quiet: bool) -> Outcome:
    """Run the recipe, or wait for the process that does, and take over what it found.

    Nothing that is finished is run again. A foreseen failure is the outcome; any other error is raised.
    """
    with lock(place.lock):
        shared = _read(place.outcome) if session else None
        if shared is not None and shared.session == session:
            return shared
        for path in place.outdated():
            with suppress(CodrunError):  # it takes room, and does no other harm
                remove_whole(path)
        outcome = _run(asked, settings, place.run, session, quiet)
        if session:
            write_whole(place.outcome, outcome.model_dump_json())
        return outcome


def _read(path: Path) -> Outcome | None:
    try:
        return Outcome.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _run(asked: Asked, settings: RunSettings, folder: Path, session: str, quiet: bool) -> Outcome:
    outcome = Outcome(session=session, folder=str(folder))
    progress = Progress(quiet=quiet)
    registry = Registry.discover()  # of its own, since a run attaches its trackers to it
    for warning in registry.warnings:
        progress.warn(warning)
    try:
        result = run_as_asked(asked, registry, settings, progress)
    except CodrunError as error:
        outcome.failure = as_printed(error)
        return outcome
    try:
        result.raise_if_incomplete()
    except CodrunError as error:
        outcome.left_out = "\n".join([as_printed(error), *(one_line(one.sentence) for one in result.record.left_out)])
    outcome.verdicts = [each.record for each in result.expectations]
    return outcome


def as_printed(error: CodrunError) -> str:
    """An error as the command line prints it."""
    return str(error) if isinstance(error, RecipeError) and error.faults else f"error: {one_line(str(error))}"
