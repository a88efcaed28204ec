"""A run as lines of text, where nothing can be drawn over: in a file, a pipe, a CI log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from cod_runner.durations import in_words
from cod_runner.plain_text import one_line
from cod_runner.progress.board import Bar, Board, Stage

FIRST_INTERVAL, LONGEST_INTERVAL = 10.0, 300.0
"""Seconds between two lines on one stage; each is twice the one before."""
WORTH_A_LINE = 1.0
"""Seconds of a stage whose end is said; the last line has all of them."""


@dataclass
class Lines:
    """One line when a stage begins, one when it ends, and in between one now and then."""

    console: Console
    board: Board
    clock: Callable[[], float]
    _next: float = 0.0
    _interval: float = FIRST_INTERVAL

    def open(self) -> None:
        """Begin to count the time until the first line."""
        self._interval = FIRST_INTERVAL
        self._next = self.clock() + FIRST_INTERVAL

    def close(self, failed: bool) -> None:
        """Say what each stage took."""
        begun = self.board.begun
        if begun and not failed:
            took = ", ".join(f"{stage.name} {in_words(stage.seconds(self.clock()))}" for stage in begun)
            self._print(f"stages: {took}")

    def began(self, stage: Stage) -> None:
        """Say that a stage begins; where it does so for every fold, the first time."""
        self.open()
        if stage.runs == 1:
            self._print(f"{stage.name} ...")

    def ended(self, stage: Stage, seconds: float) -> None:
        """Say what a stage took, this time."""
        how = "stopped after" if stage.failed else "done in"
        if seconds >= WORTH_A_LINE or stage.failed:
            self._print(", ".join(filter(None, (f"{stage.name}: {how} {in_words(seconds)}", stage.cost))))

    def moved(self, shown: Bar | Stage) -> None:
        """Say how far it is, if that was not said a short while ago."""
        now = self.clock()
        if now < self._next:
            return
        self._interval = min(LONGEST_INTERVAL, 2 * self._interval)
        self._next = now + self._interval
        if isinstance(shown, Bar):
            done = "" if shown.done is None else f"{shown.done:,} of {shown.total:,}"
            said = [done, shown.left(now), shown.told]
            self._print("; ".join([_titled(shown.title, said), *self.board.beside()]))
        else:
            self._print(_titled(shown.name, [shown.told]))

    def _print(self, line: str) -> None:
        self.console.print(Text(one_line(line)), soft_wrap=True)


def _titled(title: str, said: list[str]) -> str:
    words = ", ".join(filter(None, said))
    return f"{title}: {words}" if words else title
