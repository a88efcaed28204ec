"""What the terms of a method's loss are called, in the log of a training and in what is read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def term_names(terms: Iterable[tuple[str, float]]) -> list[str]:
    """A name for each (loss, weight), by which its stream, its cache and its column in the log are known.

    Namesakes are counted apart for terms of weight 0 (``kd-unweighted``), so that adding one never renames, and so
    never changes, a term that trains.
    """
    seen: Counter[str] = Counter()
    names = []
    for loss, weight in terms:
        name = loss if weight > 0 else f"{loss}-unweighted"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
