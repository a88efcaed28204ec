"""The errors a user of codrun can meet, each with the exit code its kind ends the program with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cod_runner.plain_text import one_line


class CodrunError(Exception):
    """A failure that one sentence explains; the command line prints the sentence and no traceback."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One mistake in a recipe. Lines and columns count from 1; a fault of a flag (``--set ...``) has none."""

    file: str
    line: int | None
    column: int | None
    sentence: str

    def __str__(self) -> str:
        file = one_line(self.file)
        return f"{file}: {self.sentence}" if self.line is None else f"{file}:{self.line}:{self.column}: {self.sentence}"


MOST_FAULTS = 100
"""Listed of one recipe; the rest is counted."""


class RecipeError(CodrunError):
    """The recipe, or the call, is wrong. ``str(error)`` holds one ``file:line:column: sentence`` a line."""

    exit_code = 2

    def __init__(self, sentence: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(sentence)
        self.faults = tuple(faults)

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> RecipeError:
        """All faults at once, in the order of the text, each once; of very many the first, and how many more."""
        ordered = sorted(
            set(faults), key=lambda fault: (fault.file, fault.line or 0, fault.column or 0, fault.sentence)
        )
        lines = [str(fault) for fault in ordered[:MOST_FAULTS]]
        if len(ordered) > MOST_FAULTS:
            lines.append(f"{one_line(ordered[MOST_FAULTS].file)}: and {len(ordered) - MOST_FAULTS:,} more faults")
        return cls("\n".join(lines), ordered)


class SettingError(CodrunError):
    """A recipe does not fit its data or models, which shows only once they are loaded.

    ``setting`` leads from the component that raises this to the option whose change is the cure, as in
    ``SettingError("...", "splits", "test")``; without it the component as a whole is meant. The command line shows
    the sentence as ``file:line:column: sentence``.
    """

    exit_code = 2

    def __init__(self, sentence: str, *setting: str | int) -> None:
        super().__init__(sentence)
        self.setting = setting
        self.component: tuple[str, str] | None = None
        """Kind and name of the component that ``setting`` is below; None where it is below :attr:`place`."""
        self.place: tuple[str | int, ...] | None = None
        """Where in the recipe the component stands; None as long as nobody has said so."""


@contextmanager
def standing_at(*place: str | int) -> Iterator[None]:
    """Say of every :class:`SettingError` raised inside that what raised it stands at ``place`` of the recipe."""
    try:
        yield
    except SettingError as error:
        if error.place is None:
            error.place = place
        raise


class DataError(SettingError):
    """A data set cannot be used; the sentence names file, row and cure."""


class ExpectationMissed(CodrunError):
    """The run finished, and an entry of ``expect:`` was not met; or, where the run is strict, did not run."""

    exit_code = 3


class RegressionFound(CodrunError):
    """A run is worse than another by more than seed noise, or lacks what the other measured."""

    exit_code = 3


class CellsLeftOut(CodrunError):
    """The run finished, but for cells whose training sets could not be drawn, or whose metrics are not numbers."""


class ProviderError(CodrunError):
    """A model provider failed or a budget is spent: the run ends here and can be resumed.

    Never to be read as "the generator found no flip".
    """


class PluginError(CodrunError):
    """A plugin cannot be loaded, or two plugins claim one name."""

    exit_code = 2


class WrongResult(PluginError):
    """A component gave back something other than its kind's contract says: a bug in its plugin."""

    exit_code = 1
