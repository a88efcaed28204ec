"""What is wrong with a recipe, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cod_runner.errors import RecipeError


@dataclass(frozen=True, order=True)
class Place:
    """A place in a file (lines and columns from 1), or a flag of the command line (line 0)."""

    file: str
    line: int
    column: int
    folder: Path = field(default=Path(), compare=False)
    """What relative paths that stand here are relative to."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, order=True)
class Fault:
    """One mistake."""

    place: Place
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"


class RecipeFaults(RecipeError):
    """Every fault of a recipe, sorted by place."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(dict.fromkeys(faults))
        super().__init__("\n".join(map(str, self.faults)))
