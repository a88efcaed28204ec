"""The contracts of what draws a training set: selectors of originals, choosers among candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cod_runner.api.data import Example
    from cod_runner.api.generators import Attempt, TeacherView
    from cod_runner.api.inputs import Input


@dataclass(frozen=True)
class Selection:
    """What a selector may see: the pool's inputs, or those of one class, and what it asks the teacher, which counts."""

    inputs: Sequence[Input]
    """In this seed's random order, so that whoever breaks ties by position breaks them at random."""
    wanted: int
    """How many of them the training set will take, redraws not counted."""
    seed: int
    teacher: TeacherView
    embedded: Callable[[int], None] = lambda count: None
    """To be told how many inputs an encoder embedded, for the tables."""
    progress: Callable[[int, int], None] = lambda done, total: None
    """``progress(done, total)`` moves the bar of what takes long."""


class Selector(Protocol):
    """Kind ``selector``: in which order the pool's rows become originals. It never sees a label: where the recipe
    balances the classes, it is asked about the rows of each class by itself, otherwise about the whole pool."""

    nested: bool
    """Whether the order is the same for every ``wanted``, so that the set of a smaller k lies inside a larger one's."""

    def rank(self, selection: Selection) -> list[int]:
        """Positions in ``selection.inputs``, every one once, the first to be drawn first."""
        ...


@dataclass(frozen=True)
class Choice:
    """One original, and the candidates that its arm may take."""

    original: Example
    candidates: tuple[Attempt, ...]
    """In the order that holds without a chooser: lower tier, fewer edits, larger margin past the boundary."""


@dataclass(frozen=True)
class Choosing:
    """What a chooser may ask."""

    teacher: TeacherView
    student: Callable[[Sequence[Input], int], list[tuple[float, ...]]]
    """``student(inputs, steps)``: probabilities ``[inputs][classes]`` of the recipe's student after this many steps on
    the originals alone, by the recipe's first method; trained at the first call."""
    seed: int


class Chooser(Protocol):
    """Kind ``chooser``: which of an original's candidates goes into the training set."""

    nested: bool
    """Whether a choice depends on the earlier originals at most, so that sets stay nested in k."""

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        """For each choice, positions of its candidates, the best first. ``choices`` are in the order of drawing."""
        ...
