"""What single cells of a column say: a name, nothing, a number, one of few values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

MOST_LABELS = 20
ROWS_PER_LABEL = 4
"""On average, at least; fewer rows per value are not labels."""


def name_of(cell: Any) -> str:
    """A cell as data sets compare it with label names: `` pos `` is ``pos``, ``1.0`` is ``1``; "" where it is empty."""
    if is_empty(cell):
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def folded(name: str) -> str:
    """What names have in common that differ by case or white space alone."""
    return " ".join(name.split()).casefold()


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing: no value, spaces, or not a number, which is how tables of numbers write nothing."""
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def few_values(cells: Sequence[Any]) -> Counter[str]:
    """How often each value occurs, as :func:`name_of` says it; empty where these are too many, or too few, for labels.

    Case counts here, but does not make a value one more.
    """
    if any(isinstance(cell, list | dict) for cell in cells):
        return Counter()
    names = Counter(name_of(cell) for cell in cells if not is_empty(cell))
    return names if like_labels(map(folded, names), len(cells)) else Counter()


def like_labels(values: Iterable[str], rows: int) -> bool:
    """Whether a column of so many rows with these values could hold labels."""
    return 2 <= len(set(values)) <= min(MOST_LABELS, max(2, rows // ROWS_PER_LABEL))
