"""A recipe as a file of tests: one for the run, and one for each of its expectations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import pytest
from pydantic import ValidationError

from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.plain_text import one_line
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.expectation import Expectation
from cod_runner.recipe.nodes import Items, Mark, plain
from cod_runner.registry import Registry
from pytest_codrun.options import Options
from pytest_codrun.outcome import Outcome, as_printed, outcome_of
from pytest_codrun.places import place_of

_REGISTRY = pytest.StashKey[Registry]()
RUN = "run"
"""The name of the test that the recipe runs at all."""


@dataclass(frozen=True)
class ExpectationEntry:
    """One entry of ``expect:`` before anything has run."""

    number: int
    """In the order of an outcome's verdicts."""
    what: str
    bound: str
    runs: bool
    """False where the profile, an override or a flag leaves its cells out."""
    mark: Mark | None
    """Where the recipe says it."""


class RecipeFile(pytest.File):
    """One recipe. It is checked when it is collected, and runs when the first of its tests does."""

    _outcome: Outcome | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Raises ``CollectError`` with every fault of the recipe, as file:line:column."""
        self.options = Options.of(self.config)
        try:
            loaded = self.options.asked(self.path).load(_registry(self.config), self.options.permissions)
        except CodrunError as error:
            raise self.CollectError(as_printed(error)) from error
        yield RunItem.from_parent(self, name=RUN)
        taken: set[str] = set()
        for wanted in entries_of(loaded):
            name = _free_name(wanted, taken)
            taken.add(name)
            yield ExpectationItem.from_parent(self, name=name, wanted=wanted)

    def outcome(self) -> Outcome:
        """What the run showed; it happens in the first call."""
        if self._outcome is None:
            try:
                self._outcome = self._found()
            except CodrunError as error:  # of the place, not of the run
                self._outcome = Outcome(folder="", failure=as_printed(error))
            except Exception as error:  # shown here with its traceback, and by the other tests in a sentence
                self._outcome = Outcome(folder="", failure=f"error: {type(error).__name__}: {one_line(str(error))}")
                raise
        return self._outcome

    def _found(self) -> Outcome:
        options = self.options
        place = place_of(self.path, options.profile, options.out, self.config, _registry(self.config))
        settings = RunSettings(
            out=place.run,
            jobs=options.jobs,
            device=options.device,
            offline=options.offline,
            permissions=options.permissions,
        )
        session = getattr(self.config, "workerinput", {}).get("testrunuid", "")
        aloud = self.config.getoption("capture") == "no"
        return outcome_of(options.asked(self.path), settings, place, session, quiet=not aloud)

    def shown(self, folder: str) -> str:
        """A run's folder as a person at the prompt would write it."""
        start = self.config.invocation_params.dir
        return os.path.relpath(folder, start) if folder and self.config.rootpath in (start, *start.parents) else folder


class _RecipeItem(pytest.Item):
    """A test of a recipe."""

    @property
    def file(self) -> RecipeFile:
        return cast(RecipeFile, self.parent)

    def outcome(self) -> Outcome:
        """What the run showed; where it is goes to the report too."""
        outcome = self.file.outcome()
        self.user_properties.append(("folder", outcome.folder))
        return outcome

    def fail(self, *lines: str, folder: str = "") -> NoReturn:
        """Fail with these lines and the run's folder."""
        place = [f"run: {one_line(self.file.shown(folder))}"] if folder else []
        pytest.fail("\n".join([*lines, *place]), pytrace=False)

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        return self.path, 0, self.name


class RunItem(_RecipeItem):
    """The recipe runs, and no cell is left out."""

    def runtest(self) -> None:
        outcome = self.outcome()
        failure = outcome.failure or outcome.left_out
        if failure:
            self.fail(failure, f"recipe: {self.file.nodeid}", folder=outcome.folder)


class ExpectationItem(_RecipeItem):
    """One entry of ``expect:`` is met."""

    def __init__(self, *, wanted: ExpectationEntry, **more: Any) -> None:
        super().__init__(**more)
        self.wanted = wanted
        self.user_properties.append(("bound", wanted.bound))
        if not wanted.runs and not self.file.options.strict:
            self.add_marker(pytest.mark.skip(reason=self._not_run))

    def runtest(self) -> None:
        if not self.wanted.runs:
            self.fail(self._not_run, *self._place)
        outcome = self.outcome()
        if outcome.failure is not None:
            self.fail("not measured, since the run failed", outcome.failure, folder=outcome.folder)
        found = outcome.verdicts[self.wanted.number]
        seeds = ", ".join(map(str, found.seeds))
        if found.measured is not None:
            self.user_properties += [("measured", found.measured), ("seeds", seeds)]
        if found.verdict == "miss":
            measured = [f"seeds: {seeds}"] if seeds else []
            self.fail(f"missed: {one_line(found.sentence)}", *self._place, *measured, folder=outcome.folder)

    @property
    def _not_run(self) -> str:
        return f"{self.wanted.what}: {self.wanted.bound} expected, not run, since its cells are left out"

    @property
    def _place(self) -> list[str]:
        mark = self.wanted.mark
        if mark is None:
            return []
        where = mark.source.shown if mark.source.flag else f"{mark.source.shown}:{mark.line}:{mark.column}"
        return [f"expected at {where}"]

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        mark = self.wanted.mark
        return self.path, 0 if mark is None or mark.source.flag else mark.line - 1, self.name


def entries_of(loaded: LoadedRecipe) -> list[ExpectationEntry]:
    """Every expectation of a recipe, those that do not run last."""
    marks = _marks(loaded)
    everything = [*loaded.recipe.expect, *loaded.not_run]
    return [
        ExpectationEntry(number, each.what, each.bound, each not in loaded.not_run, marks.get(_here(each)))
        for number, each in enumerate(everything)
    ]


def _marks(loaded: LoadedRecipe) -> dict[Expectation, Mark]:
    """Where the recipe, or a ``--set``, says each expectation."""
    listed = loaded.tree.get("expect")
    marks: dict[Expectation, Mark] = {}
    for item in listed.items if isinstance(listed, Items) else ():
        with suppress(ValidationError):
            marks.setdefault(_here(Expectation.model_validate(plain(item))), item.mark)
    return marks


def _here(expectation: Expectation) -> Expectation:
    """Without the path of another run, which is absolute once the recipe is read."""
    return expectation.model_copy(update={"of": None})


def _free_name(wanted: ExpectationEntry, taken: set[str]) -> str:
    """``what``, with its bound where another entry has that name already."""
    name = wanted.what if wanted.what not in taken else f"{wanted.what}, {wanted.bound}"
    number = 2
    while name in taken:
        name = f"{wanted.what}, {wanted.bound} ({number})"
        number += 1
    return name


def _registry(config: pytest.Config) -> Registry:
    """The installed plugins, found once for all recipes."""
    if _REGISTRY not in config.stash:
        config.stash[_REGISTRY] = Registry.discover()
    return config.stash[_REGISTRY]
