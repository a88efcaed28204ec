"""One component under check: how it is built, what it must keep, and what has been looked at."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from cod_runner.api import BuildContext, Classifier, CodrunError, Component, Options
from cod_runner.component_results import fault_of_built
from cod_runner.testing.checks.toys import LABELS, TEXTS, toy_teacher
from cod_runner.testing.checks.watching import GENERATORS, Watch, watching


class NoToySuits(CodrunError):
    """Nothing can be said of a component on toy data, whatever its options."""


@dataclass
class Subject:
    """The component, the options it is built with, and what codrun would tell it."""

    component: Component
    given: Mapping[str, Any]
    """Options, as a recipe would say them."""
    context: BuildContext
    folder: Path
    """Empty at first; the check's own."""
    student: Classifier | None = None
    """What an exporter is tried on, where it is given."""
    said: list[str] = field(default_factory=list)
    """Every clause that was checked, once."""

    @property
    def what(self) -> str:
        return f"the {self.component.kind} `{self.component.name}`"

    def must(self, holds: bool, wrong: str, clause: str) -> None:
        """Raise ``AssertionError`` with what is wrong and what the contract says, unless it holds."""
        if not holds:
            self.fail(wrong, clause)
        if clause not in self.said:
            self.said.append(clause)

    def fail(self, wrong: str, clause: str) -> NoReturn:
        raise AssertionError(f"{self.what} {' '.join(wrong.split())}; the contract says: {clause}")

    def options(self, **changes: Any) -> Options:
        """Validated options; raises :class:`CodrunError` where the given ones do not do."""
        try:
            return self.component.options.model_validate(
                {**self.given, **changes}, context={"folder": str(self.context.folder)}
            )
        except ValidationError as error:
            wrong = "; ".join(f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors())
            raise CodrunError(
                f"{self.what} cannot be built for a check with the options {dict(self.given)}: {wrong}"
            ) from error

    def build(self, options: Options | None = None, **context: Any) -> Any:
        """Build it as codrun does, with ``context`` in place of the toy's; raises :class:`CodrunError` as it does."""
        module, _, name = self.component.build.partition(":")
        with self.watched("while it was built", refusals=True):
            try:
                made = getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError) as error:
                self.fail(f"has the build `{self.component.build}`, which cannot be imported: {error}", BUILD)
            given = self.options() if options is None else options
            built = made(given, replace(self.context, **context))
            answering = given.answering() if self.component.kind == "teacher" else None
        fault = fault_of_built(self.component.kind, built, answering)
        self.must(fault is None, f"is not built as codrun needs it: {fault}", PARTS)
        return built

    def reopen(self, folder: Path) -> Any:
        """What it wrote into ``folder``, as its ``reopen`` opens it, without recipe or teacher."""
        module, _, name = self.component.reopen.partition(":")
        with self.watched("while what it wrote was opened again"):
            return getattr(importlib.import_module(module), name)(folder, replace(self.context, teacher=None))

    @contextmanager
    def watched(
        self,
        when: str,
        *,
        refusals: bool = False,
        write: Sequence[Path] = (),
        untouched: Collection[str] = GENERATORS,
        clause: str = "",
    ) -> Iterator[None]:
        """Turn whatever a block raises into an ``AssertionError``; see that it reaches no network, writes only what it
        may, and leaves random generators of the process ``untouched``.

        With ``refusals`` a :class:`CodrunError` passes through: a component may refuse what it is given. ``clause`` is
        what the contract says of the whole block.
        """
        given = [self.folder, *write, *(path for path in (self.context.store, self.context.run) if path is not None)]
        watch: Watch | None = None
        try:
            with watching(given) as watch:
                yield
        except AssertionError:
            raise
        except Exception as error:
            self._complain(watch, when)
            if refusals and isinstance(error, CodrunError):
                raise
            promised = f"; the contract says: {clause}" if clause else ""
            raise AssertionError(f"{self.what} raised {type(error).__name__} {when}: {error}{promised}") from error
        self._complain(watch, when)
        changed = [name for name in watch.generators if name in untouched]
        if changed:
            self.fail(f"changed the random generator of {' and '.join(changed)} {when}", SEED)
        for kept in (NETWORK, FILES, *((SEED,) if untouched else ())):
            self.must(True, "", kept)

    def _complain(self, watch: Watch | None, when: str) -> None:
        if watch is None:
            return
        if watch.connections:
            self.fail(f"tried to reach {watch.connections[0]} {when}", NETWORK)
        if watch.writes:
            self.fail(f"tried to write {watch.writes[0]} {when}", FILES)

    def either_input(self, look: Callable[[bool], None]) -> None:
        """Look at texts, or where these are refused with a :class:`CodrunError`, at points; raises :class:`CodrunError`
        where both are."""
        refused: list[str] = []
        for texts in (True, False):
            try:
                look(texts)
            except CodrunError as error:
                refused.append(f"{'texts' if texts else 'vectors'}: {error}")
            else:
                return
        raise CodrunError(f"{self.what} cannot be checked on toy data, for it refuses {' and '.join(refused)}")


BUILD = 'Component.build: `"module:attribute"`, imported when needed and called as `build(options, context)`'
PARTS = "Component.build: what it returns has every member that its kind's contract names"
SEED = "BuildContext.seed: where a component draws, it draws from its seed, never from the process's random generators"
NETWORK = "BuildContext.offline: nothing is reached over a network"
FILES = "BuildContext: nothing is written but below the folders that a component is given"


def toy_context(folder: Path) -> BuildContext:
    """What codrun would tell a component of a run on the toy data."""
    for name in ("store", "run"):
        (folder / name).mkdir()
    return BuildContext(
        labels=LABELS,
        describe="Is the film liked?",
        offline=True,
        teacher=toy_teacher,
        pool=TEXTS,
        unlabelled=[replace(row, id=f"unlabelled:{row.id}", label=None) for row in TEXTS[:4]],
        store=folder / "store",
        run=folder / "run",
    )
