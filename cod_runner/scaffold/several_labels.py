"""Cells that hold several labels, as in ``politics;other``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cod_runner.scaffold.cells import folded, is_empty, name_of

SEPARATORS = (";", "|", ",", "/")


def parts_of_cells(cells: Sequence[Any]) -> set[str]:
    """The labels of a column with single labels and combinations of them, folded; empty where no combination is."""
    names = {name_of(cell) for cell in cells if not is_empty(cell) and not isinstance(cell, list | dict)}
    several = combinations_among(names)
    return {folded(part) for name in names for part in several.get(name, (name,))} if several else set()


def combinations_among(names: set[str]) -> dict[str, tuple[str, ...]]:
    """Each name that is made of others, with these: each part stands alone, or in another combination, somewhere."""
    for separator in SEPARATORS:
        split = {
            name: tuple(part.strip() for part in name.split(separator)) for name in sorted(names) if separator in name
        }
        seen = [folded(name) for name in names if name not in split]
        seen += [folded(part) for parts in split.values() for part in set(parts)]
        alone = {folded(name) for name in names if name not in split}
        found = {
            name: parts
            for name, parts in split.items()
            if all(parts) and all(folded(part) in alone or seen.count(folded(part)) > 1 for part in parts)
        }
        if found and any(folded(part) in alone for parts in found.values() for part in parts):
            return found
    return {}
