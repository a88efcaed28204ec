"""Several candidates of one original, of which no two change the same word."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from cod_runner.api import Attempt, Input


def on_different_words(original: Input, ranked: Sequence[Attempt], count: int) -> list[Attempt]:
    """``count`` candidates of which no two change the same word: each the next that fits, from the first on with which
    there are so many; none where there are too few."""
    starts = (_fitting(original, ranked[start:], count) for start in range(len(ranked)))
    return next((taken for taken in starts if len(taken) == count), [])


def _fitting(original: Input, ranked: Sequence[Attempt], count: int) -> list[Attempt]:
    taken: list[Attempt] = []
    places: list[frozenset[float]] = []
    for attempt in ranked:
        if len(taken) == count:
            break
        changed = changed_places(original, attempt.input)
        if all(changed.isdisjoint(others) for others in places) and attempt not in taken:
            taken.append(attempt)
            places.append(changed)
    return taken


def changed_places(original: Input, changed: Input) -> frozenset[float]:
    """Numbers of the original's words that are changed; n - 0.5 for words that are inserted before word n. None for
    vectors and mixtures, which have no words, so that any two will do."""
    if not isinstance(original, str) or not isinstance(changed, str):
        return frozenset()
    before, after = original.split(), changed.split()
    places: set[float] = set()
    for kind, first, last, _, _ in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "insert":
            places.add(first - 0.5)
        elif kind != "equal":
            places.update(range(first, last))
    return frozenset(places)
