"""How long something took, and how long the rest of it is likely to take."""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_UNTIL_KNOWN = 5.0
"""The first steps load and warm up: an estimate that counts less than this is not worth reading."""


def in_words(seconds: float) -> str:
    """``0.4 s``, ``24 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def left_in_words(seconds: float) -> str:
    """``about 8 s left``; rounded as coarsely as an estimate deserves, so that it does not flicker."""
    if seconds < 10:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} s left"
    minutes = max(1, round(seconds / 60))
    if minutes < 58:
        return f"about {minutes} min left"
    minutes = 5 * round(minutes / 5)
    return f"about {minutes // 60} h {minutes % 60:02d} min left"


@dataclass
class Pace:
    """How fast something went since its first step was seen: a resumed fine-tuning begins at step 120, say, and what
    was stored counts as no speed. Times are seconds of one clock."""

    at_once: int = 1
    """How many are worked on at a time: where two are, one that ends says nothing of the other."""
    _began: tuple[float, int] | None = None
    _last: tuple[float, int, int] | None = None

    def step(self, now: float, done: int, total: int) -> None:
        """``done`` of ``total`` are done now."""
        if self._began is None or (self._last is not None and done < self._last[1]):
            self._began = (now, done)
        if self._last is None or (done, total) != self._last[1:]:
            self._last = (now, done, total)

    def left(self, now: float) -> float | None:
        """Seconds until the end; None as long as that is not known, and when the next step is overdue by that much
        that the pace holds no longer."""
        if self._began is None or self._last is None:
            return None
        (since, first), (seen, done, total) = self._began, self._last
        if done - first < self.at_once or done >= total or seen - since <= 0 or now - since < SECONDS_UNTIL_KNOWN:
            return None
        left = (seen - since) / (done - first) * (total - done) - (now - seen)
        return left if left > 0 else None
