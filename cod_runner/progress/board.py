"""What is known of a run at one moment: its stages, the bars that move, and a few lines beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cod_runner.durations import Pace, left_in_words


@dataclass
class Bar:
    """Something with a number of steps, all texts of which are one line."""

    title: str
    pace: Pace
    done: int | None = None
    """None before the first step."""
    total: int = 0
    told: str = ""
    """A few words on what happens now."""
    was_told: bool = False
    """Whether there were such words: then room is kept for them, so that nothing jumps when they come and go."""

    def step(self, now: float, done: int, total: int) -> None:
        """``done`` of ``total`` are done now."""
        self.pace.step(now, done, total)
        self.done, self.total = done, total

    def left(self, now: float) -> str:
        """The time left in words; "" where it is not known."""
        seconds = self.pace.left(now)
        return "" if seconds is None else left_in_words(seconds)


@dataclass
class Stage:
    """One stage of a run; with folds it runs once for each."""

    name: str
    since: float | None = None
    """When it began; None while it does not run."""
    before: float = 0.0
    """Seconds of the times that it ran before."""
    runs: int = 0
    failed: bool = False
    told: str = ""
    """A few words on what happens now, where no bar takes them."""
    cost: str = ""
    """What it has spent, in words."""

    def seconds(self, now: float) -> float:
        """What it has taken so far."""
        return self.before + (0.0 if self.since is None else now - self.since)


@dataclass
class Board:
    """All that a display shows. Written by the thread that runs, read by the one that draws."""

    stages: list[Stage] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    """The innermost last."""
    beside: Callable[[], Sequence[str]] = tuple
    """Lines on the run as a whole: cells, losses, what was spent."""

    @property
    def running(self) -> Stage | None:
        """The stage that runs now."""
        return next((stage for stage in self.stages if stage.since is not None), None)

    @property
    def begun(self) -> list[Stage]:
        """The stages that ran, or run."""
        return [stage for stage in self.stages if stage.runs]

    def stage(self, name: str) -> Stage:
        """The stage of this name, at the end of the list if it is a new one."""
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            found = Stage(name)
            self.stages.append(found)
        return found

    def tell(self, words: str) -> Bar | Stage | None:
        """Show words beside the innermost bar, else beside the stage; returns which, None where neither runs."""
        shown: Bar | Stage | None = self.bars[-1] if self.bars else self.running
        if shown is not None:
            shown.told = words
        if isinstance(shown, Bar):
            shown.was_told |= bool(words)
        return shown
