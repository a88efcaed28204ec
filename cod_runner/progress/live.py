"""A run on a terminal: its stages and bars, drawn over until it ends, when a line for each stage is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cod_runner.plain_text import one_line
from cod_runner.progress.board import Bar, Board, Stage
from cod_runner.progress.durations import in_words

TIMES_A_SECOND = 5
WIDEST_BAR, NARROW = 24, 72
"""Columns of a bar, and of a terminal that has no room for one."""


@dataclass
class Marks:
    """The characters of a display, as far as the terminal's encoding has them."""

    done: str = "✓"
    failed: str = "✗"
    full: str = "━"
    rest: str = "─"
    more: str = "…"
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))


def marks_of(console: Console) -> Marks:
    """Those of a console: letters where its encoding is older than UTF-8."""
    if console.options.ascii_only:
        return Marks("+", "x", "#", "-", "...", Spinner("line"))
    return Marks()


@dataclass
class Drawing:
    """Draws the board five times a second while it is open; what is printed meanwhile stands above it."""

    console: Console
    board: Board
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._marks = marks_of(self.console)
        self._live = Live(
            self, console=self.console, transient=True, refresh_per_second=TIMES_A_SECOND, vertical_overflow="crop"
        )

    def open(self) -> None:
        """Begin to draw."""
        self._live.start()

    def close(self, failed: bool) -> None:
        """Take away what is drawn, and leave a line for each stage that ran."""
        self._live.stop()
        for stage in self.board.begun:
            self.console.print(self._line(self.console.width, self._stage(stage), [stage.cost]))

    def began(self, stage: Stage) -> None:
        """It is drawn."""

    def ended(self, stage: Stage, seconds: float) -> None:
        """It is drawn."""

    def moved(self, shown: Bar | Stage) -> None:
        """It is drawn."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._lines(options.max_width)

    def _lines(self, width: int) -> Iterator[Text]:
        now, running = self.clock(), self.board.running
        bars = list(self.board.bars)
        for stage in list(self.board.stages):
            if stage is not running:
                yield self._line(width, self._stage(stage), [stage.cost])
                continue
            inner = self._bar(bars[-1], now, width) if bars else [stage.told]
            yield self._line(width, self._stage(stage), inner)
        if running is None:
            for bar in bars:
                yield self._line(width, [self._spin(), " "], self._bar(bar, now, width))
        for line in self.board.beside():
            yield self._line(width, ["  "], [Text(one_line(line), "dim")])

    def _stage(self, stage: Stage) -> list[str | Text]:
        """Mark, name and seconds, in columns."""
        name = stage.name.ljust(max(len(each.name) for each in self.board.stages))
        took = in_words(stage.seconds(self.clock())) if stage.runs else ""
        if stage.failed:
            mark, style = Text(self._marks.failed, "red"), ""
        elif stage.since is not None:
            mark, style = self._spin(), "bold"
        elif stage.runs:
            mark, style = Text(self._marks.done, "green"), ""
        else:
            mark, style = Text(" "), "dim"
        return [mark, " ", Text(name, style), " ", Text(took.rjust(11), "dim"), "  "]

    def _spin(self) -> Text:
        frame = self._marks.spinner.render(self.clock())
        return frame if isinstance(frame, Text) else Text(str(frame))

    def _bar(self, bar: Bar, now: float, width: int) -> list[str | Text]:
        shown: list[str | Text] = [bar.title]
        if bar.done is not None:
            if width >= NARROW and bar.total > 0:
                full = min(WIDEST_BAR, WIDEST_BAR * bar.done // bar.total)
                drawn = (self._marks.full * full, "green"), (self._marks.rest * (WIDEST_BAR - full), "dim")
                shown.append(Text.assemble(*drawn))
            shown.append(f"{bar.done:,}/{bar.total:,}")
        return [*shown, Text(bar.left(now), "cyan"), bar.told]

    def _line(self, width: int, start: Sequence[str | Text], words: Sequence[str | Text]) -> Text:
        """One line, cut where the terminal ends: a second one would leave pieces behind."""
        text = Text.assemble(*start, Text(" ").join(Text.assemble(word) for word in words if word))
        text.rstrip()
        if text.cell_len > width:
            text.truncate(max(0, width - len(self._marks.more)))
            text.append(self._marks.more)
        text.no_wrap = True
        return text
