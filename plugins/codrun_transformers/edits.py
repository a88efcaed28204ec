"""Word-level edit distance, fast enough for thousands of candidates."""

from __future__ import annotations

import functools
import re

WORD = re.compile(r"\w+(?:'\w+)?")
"""A word, ``isn't`` included: the part of a text that attribution speaks of."""
_TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")


@functools.lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[str, ...]:
    """Words and punctuation marks, one each; white space does not count."""
    return tuple(_TOKEN.findall(text))


def edit_distance(before: tuple[str, ...], after: tuple[str, ...]) -> int:
    """Levenshtein distance in tokens.

    Myers' bit-parallel algorithm (J. ACM 46(3), 1999) in the form of Hyyrö (2003): a column of the table of
    distances is one big integer a direction, so each token of ``after`` costs a dozen integer operations.
    """
    start = 0
    shortest = min(len(before), len(after))
    while start < shortest and before[start] == after[start]:
        start += 1
    end = 0
    while end < shortest - start and before[-1 - end] == after[-1 - end]:
        end += 1
    before, after = before[start : len(before) - end], after[start : len(after) - end]
    if not before or not after:
        return len(before) + len(after)
    places: dict[str, int] = {}
    for place, token in enumerate(before):
        places[token] = places.get(token, 0) | 1 << place
    everything, last = (1 << len(before)) - 1, 1 << len(before) - 1
    rises, falls, distance = everything, 0, len(before)
    for token in after:
        equal = places.get(token, 0)
        diagonal_zero = (((equal & rises) + rises) ^ rises) | equal | falls
        row_rises = falls | ~(diagonal_zero | rises) & everything
        row_falls = rises & diagonal_zero
        distance += bool(row_rises & last) - bool(row_falls & last)
        row_rises = row_rises << 1 | 1
        row_falls <<= 1
        rises = (row_falls | ~(diagonal_zero | row_rises)) & everything
        falls = row_rises & diagonal_zero & everything
    return distance
