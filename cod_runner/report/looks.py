"""How each arm and each loss term looks in figures: Okabe and Ito's colours, which colour-blind readers can tell apart
(those that are pale on white made darker), with a line and a marker of its own for those who see none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

from cod_runner.recipe.arms import COD, CONTROL, PLAIN
from cod_runner.report.table import in_order

Line = Literal["-", "--", "-.", ":"]
WORDS: dict[Line, str] = {"-": "solid", "--": "dashed", "-.": "dash-dotted", ":": "dotted"}
FLOOR_COLOUR, TEACHER_COLOUR = "#009E73", "#555555"
INK, PAPER, GRID_COLOUR = "#000000", "#ffffff", "#dddddd"


@dataclass(frozen=True)
class Look:
    """Colour, line, marker."""

    colour: str
    line: Line
    marker: str
    dodge: float = 0.0
    """Shift along the axis, in doublings of k, that keeps the error bars of the arms apart."""

    @property
    def line_in_words(self) -> str:
        return WORDS[self.line]


KNOWN: dict[str, tuple[str, Line, str]] = {
    PLAIN: ("#0072B2", "--", "s"),
    CONTROL: ("#CC79A7", "-.", "^"),
    COD: ("#D55E00", "-", "o"),
}
COLOURS = ("#B57A00", "#2E8BC0", "#000000", "#9A8B00", "#5D3A9B", "#994F00")
MARKERS = ("D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Line, ...] = (":", "-", "-.", "--")
"""Those of other arms, each in turn: six colours and seven markers repeat together after 42 arms."""
TERMS = ("#0072B2", "#D55E00", FLOOR_COLOUR, "#5D3A9B", "#B57A00", "#994F00")
TERM_LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
FURTHEST = 0.18
"""The largest shift, in doublings."""


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """The look of every arm, in the order of the tables; those of the three known names are always the same."""
    ordered = in_order(arms)
    step = min(0.06, 2 * FURTHEST / max(1, len(ordered) - 1))
    free = zip(cycle(COLOURS), cycle(LINES), cycle(MARKERS), strict=False)
    found = {}
    for place, arm in enumerate(ordered):
        colour, line, marker = KNOWN.get(arm) or next(free)
        found[arm] = Look(colour, line, marker, step * (place - (len(ordered) - 1) / 2))
    return found


def term_looks(terms: Iterable[str]) -> dict[str, tuple[str, Line]]:
    """The colour and the line of every loss term, in their order; the twelfth is the last that is like no other."""
    return dict(zip(terms, zip(cycle(TERMS), cycle(TERM_LINES), strict=False), strict=False))
