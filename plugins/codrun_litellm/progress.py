"""What the user reads of a round of calls while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

SECONDS_BETWEEN_LINES = 0.5


@dataclass
class Progress:
    """Counts of one round."""

    of: int
    """How many answers there are to be."""
    answered: int
    """How many there are, those from the ledger among them."""
    tell: Callable[[str], None]
    """Shows a line while it lasts."""
    say_how_slow: Callable[[int, int], None]
    """Told, after time-outs, how many calls were in flight and how many timed out."""
    in_flight: int = 0
    retried: int = 0
    failing: str = ""
    """Why calls fail now: of the last one, where none was answered since."""

    def line(self) -> str:
        """One short line."""
        retried = f", {self.retried} retried" if self.retried else ""
        failing = f", failing: {self.failing}" if self.failing else ""
        return f"answers {self.answered} of {self.of}, {self.in_flight} in flight{retried}{failing}"

    async def show(self) -> None:
        """Tell the line as it changes, at most twice a second, until this is cancelled; then take it away."""
        told = ""
        try:
            await asyncio.sleep(SECONDS_BETWEEN_LINES / 10)  # by then the first calls are in flight
            while True:
                if self.line() != told:
                    told = self.line()
                    self.tell(told)
                await asyncio.sleep(SECONDS_BETWEEN_LINES)
        finally:
            if told:
                self.tell("")
