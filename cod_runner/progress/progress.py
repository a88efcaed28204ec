"""What every part of codrun speaks through: to the terminal (standard error, so that ``--json`` stays clean) and to
``run.log``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.text import Text

from cod_runner.durations import Pace
from cod_runner.plain_text import one_line
from cod_runner.progress.board import Bar, Board, Stage
from cod_runner.progress.lines import Lines
from cod_runner.progress.live import Drawing
from cod_runner.terminal import Terminal

LOG = logging.getLogger("codrun")
SECONDS_BETWEEN_BEATS = 10.0

Step = Callable[[int, int], None]
"""``step(done, total)``."""


class Display(Protocol):
    """How a board is shown."""

    def open(self) -> None: ...

    def close(self, failed: bool) -> None: ...

    def began(self, stage: Stage) -> None: ...

    def ended(self, stage: Stage, seconds: float) -> None: ...

    def moved(self, shown: Bar | Stage) -> None: ...


class Silent:
    """``--quiet``."""

    def open(self) -> None:
        """Nothing is shown."""

    def close(self, failed: bool) -> None:
        """Nothing is shown."""

    def began(self, stage: Stage) -> None:
        """Nothing is shown."""

    def ended(self, stage: Stage, seconds: float) -> None:
        """Nothing is shown."""

    def moved(self, shown: Bar | Stage) -> None:
        """Nothing is shown."""


@dataclass
class Shown:
    """A stage that runs, for the one who runs it."""

    _stage: Stage

    def spent(self, words: str) -> None:
        """Show beside its seconds what it has spent; "" for nothing."""
        self._stage.cost = one_line(words)


@dataclass
class Progress:
    """Sentences, warnings, and one display: of a run and its stages, or of the bar that is running.

    On a terminal the display is drawn over; elsewhere it is a line now and then, and under ``quiet`` nothing.
    """

    console: Console = field(default_factory=lambda: Terminal(stderr=True))
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    notes: list[str] = field(default_factory=list)
    """Every warning of this run, for ``run.json`` and the report."""
    _board: Board = field(default_factory=Board, init=False, repr=False)
    _display: Display | None = field(default=None, init=False, repr=False)
    """None while nothing is shown."""
    _said: set[str] = field(default_factory=set, init=False, repr=False)
    _beat: Callable[[], None] | None = field(default=None, init=False, repr=False)
    _beaten: float = field(default=0.0, init=False, repr=False)

    def say(self, sentence: str) -> None:
        """A note on what happens now."""
        LOG.info(one_line(sentence))
        if not self.quiet:
            self._print(Text(one_line(sentence)))

    def warn(self, sentence: str) -> None:
        """Something the user should know about the result; said once, also under ``--quiet``."""
        if sentence in self.notes:
            return
        self.notes.append(sentence)
        LOG.warning(one_line(sentence))
        self._print(Text.assemble(("note:", "yellow"), f" {one_line(sentence)}"))

    def caution(self, sentence: str) -> None:
        """Something the user should know now, which says nothing of the result: said once, also under ``--quiet``, and
        no note of the run."""
        if sentence not in self._said:
            self._said.add(sentence)
            LOG.warning(one_line(sentence))
            self._print(Text.assemble(("warning:", "yellow"), f" {one_line(sentence)}"))

    def pass_on(self, line: str) -> None:
        """A line that a worker process wrote, a library's warning, say: not ours to judge, so it is shown as it is,
        once, also under ``--quiet``, and is no note of the run."""
        if line not in self._said:
            self._said.add(line)
            LOG.info("a worker wrote: %s", one_line(line))
            self._print(Text(one_line(line), "dim"))

    def _print(self, sentence: Text) -> None:
        """Above what is drawn. Where nobody looks on, a sentence is one line, however long."""
        self.console.print(sentence, soft_wrap=not self.console.is_terminal)

    def tell(self, words: str) -> None:
        """Show a few words on what happens now beside the bar that is running, or the stage; "" takes them away."""
        shown = self._board.tell(one_line(words))
        if shown is not None and words and self._display is not None:
            self._display.moved(shown)

    @contextmanager
    def run(self, stages: Sequence[str], beside: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
        """One display for a whole run of these stages; ``beside`` says, whenever it is asked, what else is known of
        it: a few short lines."""
        self._board.stages = [Stage(name) for name in stages]
        self._board.beside = beside
        with self._displayed():
            yield

    @contextmanager
    def stage(self, name: str, beat: Callable[[], None] | None = None) -> Iterator[Shown]:
        """A stage of the run, which may have run before; ``beat`` is called now and then while it moves."""
        stage = self._board.stage(name)
        began = self.clock()
        stage.since, stage.runs = began, stage.runs + 1
        self._beat, self._beaten = beat, began
        with self._displayed() as display:
            display.began(stage)
            try:
                yield Shown(stage)
            except BaseException:
                stage.failed = True
                raise
            finally:
                self._beat = None
                seconds = self.clock() - began
                stage.before, stage.since, stage.told = stage.before + seconds, None, ""
                display.ended(stage, seconds)
                LOG.info("%s: %.1f s", one_line(name), seconds)

    @contextmanager
    def bar(self, title: str, at_once: int = 1) -> Iterator[Step]:
        """A bar with the time that is left, once it is known; ``at_once`` of its steps are taken at a time."""
        bar, started = Bar(one_line(title), Pace(at_once)), self.clock()
        self._board.bars.append(bar)
        try:
            with self._displayed() as display:

                def step(done: int, total: int) -> None:
                    now = self.clock()
                    bar.step(now, done, total)
                    display.moved(bar)
                    if self._beat is not None and now - self._beaten >= SECONDS_BETWEEN_BEATS:
                        self._beaten = now
                        self._beat()

                yield step
        finally:
            self._board.bars.remove(bar)
        LOG.info("%s: %.1f s", bar.title, self.clock() - started)

    @contextmanager
    def _displayed(self) -> Iterator[Display]:
        """The display, opened for the outermost of a run, its stages and its bars."""
        if self._display is not None:
            yield self._display
            return
        display = self._display = self._new_display()
        display.open()
        failed = True
        try:
            yield display
            failed = False
        finally:
            self._display = None
            display.close(failed)
            self._board.stages, self._board.beside = [], tuple

    def _new_display(self) -> Display:
        if self.quiet:
            return Silent()
        drawn = self.console.can_draw if isinstance(self.console, Terminal) else self.console.is_interactive
        return (Drawing if drawn else Lines)(self.console, self._board, self.clock)
