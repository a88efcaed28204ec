"""What a person sees during a run: sentences, warnings, and a bar for anything that takes over two seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from cod_runner.plain_text import one_line
from cod_runner.terminal import Terminal

LOG = logging.getLogger("codrun")
SECONDS_BETWEEN_LINES = 10.0

Step = Callable[[int, int], None]
"""``step(done, total)``."""


@dataclass
class Progress:
    """Speaks to the terminal (standard error, so that ``--json`` stays clean) and to ``run.log``."""

    console: Console = field(default_factory=lambda: Terminal(stderr=True))
    quiet: bool = False
    notes: list[str] = field(default_factory=list)
    """Every warning of this run, for ``run.json`` and the report."""
    _shown: list[Callable[[str], None]] = field(default_factory=list, init=False, repr=False)
    """How each bar that is running shows a few words beside it; the innermost last."""

    def say(self, sentence: str) -> None:
        """A note on what happens now."""
        LOG.info(sentence)
        if not self.quiet:
            self.console.print(Text(one_line(sentence)))

    def warn(self, sentence: str) -> None:
        """Something the user should know about the result; said once, also under ``--quiet``."""
        if sentence in self.notes:
            return
        self.notes.append(sentence)
        LOG.warning(sentence)
        self.console.print(Text.assemble(("note:", "yellow"), f" {one_line(sentence)}"))

    def tell(self, words: str) -> None:
        """Show a few words on what happens now beside the bar that is running; "" takes them away."""
        if self._shown:
            self._shown[-1](one_line(words))

    @contextmanager
    def bar(self, title: str) -> Iterator[Step]:
        """A bar in a terminal, a line now and then in a file or a pipe, nothing under ``--quiet``."""
        started = time.monotonic()
        if self.quiet:
            yield lambda done, total: None
        elif self.console.is_terminal:
            with Bars(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[told]}", markup=False),
                console=self.console,
                transient=True,
            ) as bars:
                task = bars.add_task(one_line(title), total=None, told="")
                with self._showing(lambda words: bars.update(task, told=words)):
                    yield lambda done, total: bars.update(task, completed=done, total=total)
        else:
            lines = _Lines(self.console, one_line(title))
            with self._showing(lines.tell):
                yield lines.step
        LOG.info("%s: %.1f s", title, time.monotonic() - started)

    @contextmanager
    def _showing(self, tell: Callable[[str], None]) -> Iterator[None]:
        self._shown.append(tell)
        try:
            yield
        finally:
            self._shown.remove(tell)


class _Lines:
    """A bar as lines, where nothing can be drawn over: one now and then."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._last = time.monotonic()
        self._state = self._told = ""

    def step(self, done: int, total: int) -> None:
        self._state = f"{done} of {total}"
        self._print_now_and_then()

    def tell(self, words: str) -> None:
        self._told = words
        if words:
            self._print_now_and_then()

    def _print_now_and_then(self) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            said = ", ".join(each for each in (self._state, self._told) if each)
            self._console.print(Text(f"{self._title}: {said}"))
