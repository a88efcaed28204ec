"""The console that everything is printed on: what is printed is text, never markup, emoji codes or control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cod_runner.plain_text import visible


class Terminal(Console):
    """A console for text of strangers. Colour comes from :class:`rich.text.Text` and styles alone: ``[bold]`` and
    ``:smile:`` in a text are printed as they are, and control characters are written out (:func:`visible`)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **settings})
        self._forced = bool(settings.get("force_terminal"))

    @property
    def can_draw(self) -> bool:
        """Whether lines can be drawn over. ``FORCE_COLOR``, which CI systems set, makes a console colourful, and its
        log no terminal."""
        return self.is_interactive and (self._forced or self.file.isatty())

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
