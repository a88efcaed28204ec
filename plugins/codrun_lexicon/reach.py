"""What of a text the teacher reads, and how much of it speaks for the label, whatever the length of the text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.api import Attribution
from codrun_lexicon.text import Edit

UNREAD = 2_000
"""Characters behind what the teacher reads that are looked at: the text of most long reviews as a whole."""


@dataclass(frozen=True)
class Reach:
    """The beginning of a text, as far as changes can matter: the teacher does not read on."""

    text: str
    last: int
    """Edits that reach further are dropped: they would take the cut for the end of the text."""

    @classmethod
    def of(cls, text: str, attribution: Sequence[Attribution]) -> Reach:
        """By the last word with a score, for those that the teacher does not read have none; all of a shorter text."""
        read = max((part.end for part in attribution if part.score != 0), default=len(text))
        if len(text) <= read + UNREAD:
            return cls(text, len(text))
        return cls(text[: read + UNREAD], read + UNREAD // 2)


class Told:
    """How much the words that an edit touches or adjoins speak for the label."""

    def __init__(self, attribution: Sequence[Attribution]) -> None:
        parts = sorted(attribution, key=lambda part: part.start)
        self._starts = [part.start for part in parts]
        self._ends = [0] * len(parts)
        furthest = 0
        for place, part in enumerate(parts):
            furthest = self._ends[place] = max(furthest, part.end)
        self._parts = parts

    def by(self, edit: Edit) -> float:
        """The highest score among these words; 0 where there are none."""
        return max(
            (score for change in edit.changes for score in self._beside(change.start - 1, change.end + 1)), default=0.0
        )

    def _beside(self, start: int, end: int) -> list[float]:
        """Scores of the parts that end at ``start`` or later and start at ``end`` or earlier."""
        first, behind = bisect_left(self._ends, start), bisect_right(self._starts, end)
        return [part.score for part in self._parts[first:behind] if part.end >= start]
