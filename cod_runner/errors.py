"""The errors a user of codrun can meet, each with the exit code its kind ends the program with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
        return (
            f"{self.file}: {self.sentence}"
            if self.line is None
            else f"{self.file}:{self.line}:{self.column}: {self.sentence}"
        )


class RecipeError(CodrunError):
    """The recipe, or the call, is wrong. ``str(error)`` holds one ``file:line:column: sentence`` a line."""

    exit_code = 2

    def __init__(self, sentence: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(sentence)
        self.faults = tuple(faults)

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> RecipeError:
        """All faults at once, in the order of the text, each once."""
        ordered = sorted(
            set(faults), key=lambda fault: (fault.file, fault.line or 0, fault.column or 0, fault.sentence)
        )
        return cls("\n".join(map(str, ordered)), ordered)


class DataError(CodrunError):
    """A data set cannot be used; the sentence names file, row and cure."""

    exit_code = 2


class ExpectationMissed(CodrunError):
    """The run finished, and an entry of ``expect:`` was not met."""

    exit_code = 3


class ProviderError(CodrunError):
    """A model provider failed or a budget is spent: the run ends here and can be resumed.

    Never to be read as "the generator found no flip".
    """


class PluginError(CodrunError):
    """A plugin cannot be loaded, or two plugins claim one name."""

    exit_code = 2
