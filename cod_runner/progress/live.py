"""A run on a terminal: its stages and bars, drawn over until it ends, when a line for each stage is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cod_runner.durations import in_words
from cod_runner.plain_text import one_line
from cod_runner.progress.board import Bar, Board, Stage

TIMES_A_SECOND = 5
WIDEST_BAR, NARROWEST_BAR, SHORTEST_TITLE = 24, 6, 8
"""Columns."""


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
            self.console.print(self._cut(self._stage(stage, [stage.cost]), self.console.width))

    def began(self, stage: Stage) -> None:
        """It is drawn."""

    def ended(self, stage: Stage, seconds: float) -> None:
        """It is drawn."""

    def moved(self, shown: Bar | Stage) -> None:
        """It is drawn."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> Iterator[Text]:
        """What is drawn now, each line cut where the terminal ends: a second one would leave pieces behind."""
        now, running, bars = self.clock(), self.board.running, list(self.board.bars)
        for stage in list(self.board.stages):
            if stage is not running:
                yield self._cut(self._stage(stage, [stage.cost]), width)
            elif bars:
                start, bar = self._stage(stage), bars[-1]
                yield self._cut(start + self._bar(bar, now, width - start.cell_len), width)
                if bar.was_told:
                    yield self._cut(Text(f"    {bar.told}"), width)
            else:
                yield self._cut(self._stage(stage, [stage.told]), width)
        for bar in bars if running is None else ():
            start = self._spin() + Text(" ")
            drawn = self._bar(bar, now, width - start.cell_len)
            yield self._cut(start + _spaced(drawn, Text(bar.told)), width)
        for line in self.board.beside():
            yield self._cut(Text(f"  {one_line(line)}", "dim"), width)

    def _stage(self, stage: Stage, words: Sequence[str] = ()) -> Text:
        """Mark, name and seconds, in columns, and words after them."""
        if stage.failed:
            mark, style = Text(self._marks.failed, "red"), ""
        elif stage.since is not None:
            mark, style = self._spin(), "bold"
        elif stage.runs:
            mark, style = Text(self._marks.done, "green"), ""
        else:
            mark, style = Text(" "), "dim"
        name = stage.name.ljust(max(len(each.name) for each in self.board.stages))
        took = in_words(stage.seconds(self.clock())) if stage.runs else ""
        return Text.assemble(mark, " ", (name, style), (f"{took:>11}  ", "dim"), *words)

    def _spin(self) -> Text:
        frame = self._marks.spinner.render(self.clock())
        return frame if isinstance(frame, Text) else Text(str(frame))

    def _bar(self, bar: Bar, now: float, room: int) -> Text:
        """Title, bar, count and time left. Where the room is small the bar gives way first, then the title."""
        if bar.done is None:
            return Text(bar.title)
        count = _spaced(Text(f"{bar.done:,}/{bar.total:,}"), Text(bar.left(now), "cyan"))
        title = Text(bar.title)
        title.truncate(max(SHORTEST_TITLE, room - count.cell_len - 1), overflow="ellipsis")
        columns = min(WIDEST_BAR, room - title.cell_len - count.cell_len - 2)
        drawn = Text()
        if columns >= NARROWEST_BAR and bar.total > 0:
            full = min(columns, columns * bar.done // bar.total)
            drawn = Text.assemble((self._marks.full * full, "green"), (self._marks.rest * (columns - full), "dim"))
        return _spaced(title, drawn, count)

    def _cut(self, line: Text, width: int) -> Text:
        line.rstrip()
        if line.cell_len > width:
            line.truncate(max(0, width - len(self._marks.more)))
            line.append(self._marks.more)
        line.no_wrap = True
        return line


def _spaced(*parts: Text) -> Text:
    """The parts that are not empty, with a space between them."""
    return Text(" ").join(part for part in parts if part)
