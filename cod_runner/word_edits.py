"""Edit distance in words and punctuation marks."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

WORD = re.compile(r"\w+(?:'\w+)?")
"""A word, including ``isn't``: the unit of attribution."""
_TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")


@functools.lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[str, ...]:
    """The words and punctuation marks of a text, without white space."""
    return tuple(_TOKEN.findall(text))


def edit_distance(before: Sequence[str], after: Sequence[str]) -> int:
    """Levenshtein distance in tokens."""
    from rapidfuzz.distance import Levenshtein  # once there are texts to compare

    return Levenshtein.distance(before, after)


def text_distance(original: str, changed: str) -> tuple[float, float]:
    """(edits, minimality): tokens that differ, and the same over the original's tokens."""
    before = tokens(original)
    edits = edit_distance(before, tokens(changed))
    return float(edits), edits / max(len(before), 1)
