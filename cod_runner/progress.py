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
                console=self.console,
                transient=True,
            ) as bars:
                task = bars.add_task(one_line(title), total=None)
                yield lambda done, total: bars.update(task, completed=done, total=total)
        else:
            yield self._lines(title)
        LOG.info("%s: %.1f s", title, time.monotonic() - started)

    def _lines(self, title: str) -> Step:
        last = time.monotonic()

        def step(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                self.console.print(Text(f"{one_line(title)}: {done} of {total}"))

        return step
