"""Ctrl-C, or the word to end, that waits until a step of training is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what schedulers and service managers send before they kill."""


class Interruption:
    """A signal that has come and waits."""

    def __init__(self, restore: Callable[[], None]) -> None:
        self._restore = restore
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def let_through(self) -> None:
        """Do now what the signal would have done when it came."""
        if self.number is not None:
            self._restore()
            signal.raise_signal(self.number)


@contextmanager
def interruption_held() -> Iterator[Interruption]:
    """Inside, the first of :data:`SIGNALS` is noted and waits; a second one acts at once.

    What is ignored stays ignored, and outside the main thread, to which signals come, nothing is held.
    """
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    held = Interruption(restore)

    def note(number: int, frame: FrameType | None) -> None:
        held.number = number
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                before[number] = handler
                signal.signal(number, note)
    try:
        yield held
    finally:
        restore()
