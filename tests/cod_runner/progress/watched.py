"""A clock that a test turns, and consoles that keep what they show."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from cod_runner.progress import Progress
from cod_runner.progress.live import Drawing
from cod_runner.terminal import Terminal


@dataclass
class Watched:
    """A progress whose seconds pass when the test says so."""

    now: float = 1000.0
    out: io.StringIO = field(default_factory=io.StringIO)
    width: int = 100
    terminal: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        self.console = Terminal(file=self.out, force_terminal=self.terminal, color_system=None, width=self.width)
        self.progress = Progress(self.console, quiet=self.quiet, clock=lambda: self.now)

    @property
    def said(self) -> list[str]:
        """The lines in a file so far."""
        return self.out.getvalue().splitlines()

    @property
    def drawn(self) -> list[str]:
        """The lines that a terminal would draw now."""
        display = self.progress._display
        assert isinstance(display, Drawing)
        return [line.plain for line in display.lines(self.width)]
