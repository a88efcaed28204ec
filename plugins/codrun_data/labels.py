"""Maps raw label cells to class ids."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from cod_runner.api import DataError
from codrun_data.options import TableOptions, as_name, shown, shows_nothing

UNLABELLED = -1
"""The id that hub data sets give to rows whose label is not public; the core refuses or drops such rows."""
OMITTED = -2
"""Stands for the id of a row that ``values`` omits."""

MOST_GUESSED = 50
LONGEST_GUESSED = 200
"""A column with more distinct values than this, or with one of more characters, is not a label column."""
MOST_DIGITS = 18
"""A longer number is not a class id, and is sorted as text."""


class Labels:
    """Resolves raw cells through ``values``, by name or by id, as the options say."""

    def __init__(self, names: Sequence[str], options: TableOptions) -> None:
        self.names = tuple(names)
        self._column = options.label
        self._values = options.values
        self._ids = {name: index for index, name in enumerate(names)}
        self._known: dict[tuple[type, Any], int | None] = {}

    @property
    def mapped(self) -> bool:
        """Whether ``values`` maps the labels."""
        return bool(self._values)

    def resolve(self, raw: Any) -> int | None:
        """Class id, :data:`UNLABELLED`, :data:`OMITTED`, or None where the cell is empty; ``LookupError`` for the
        rest."""
        key = (type(raw), raw)
        try:
            if key not in self._known:
                self._known[key] = self._resolved(raw)
        except (TypeError, OverflowError) as error:  # a list or mapping in the cell; an infinite number
            raise LookupError(
                f"the label `{shown(raw)}` in column `{self._column}` is not a name or a number"
            ) from error
        return self._known[key]

    def _resolved(self, raw: Any) -> int | None:
        name = as_name(raw)
        if self._values and raw is not None and name in self._values:
            mapped = self._values[name]
            return OMITTED if mapped is None else self._ids[mapped]
        if isinstance(raw, float) and math.isinf(raw):
            raise OverflowError
        if _missing(raw):
            return None
        if shows_nothing(name):
            raise LookupError(
                f"the label `{shown(raw)}` in column `{self._column}` has no visible character; correct it, or delete "
                "the row"
            )
        if self._values:
            raise LookupError(
                f"`values` does not mention the label `{shown(name)}`; add it, with null to omit its rows"
            )
        if name in self._ids:
            return self._ids[name]
        if isinstance(raw, bool):
            name = str(int(raw))
        if name == str(UNLABELLED):
            return UNLABELLED
        if name.isdecimal() and len(name) <= MOST_DIGITS and int(name) < len(self.names):
            return int(name)
        near = difflib.get_close_matches(name, self.names, 1)
        hint = f"did you mean `{shown(near[0])}`? " if near else ""
        there = ", ".join(map(shown, self.names))
        raise LookupError(
            f"the label `{shown(name)}` in column `{self._column}` is unknown; {hint}there are: {there}, or the ids 0 "
            f"to {len(self.names) - 1}; `values:` can map other values to these names"
        )


def label_names(options: TableOptions, raw: Iterable[Any], source: str, own: Sequence[str] = ()) -> tuple[str, ...]:
    """Label names in the order of class ids: the option's, else those that ``values`` maps to, else the source's
    ``own``, else the distinct values found, sorted as numbers if all are numbers, otherwise alphabetically."""
    if options.labels:
        return options.labels
    if options.values:
        return tuple(dict.fromkeys(name for name in options.values.values() if name is not None))
    if own:
        return tuple(own)
    found = sorted({as_name(value) for value in raw if not _missing(value)})
    if len(found) > MOST_GUESSED:
        raise DataError(
            f"{source}: column `{options.label}` has {len(found):,} distinct values, too many for labels; "
            "set `label:` to the label column, or list `labels:`",
            "label",
        )
    if any(len(name) > LONGEST_GUESSED for name in found):
        raise DataError(
            f"{source}: column `{options.label}` has values of more than {LONGEST_GUESSED} characters, too long for "
            "labels; set `label:` to the label column, or list `labels:`",
            "label",
        )
    if all(name.removeprefix("-").isdecimal() and len(name) <= MOST_DIGITS for name in found):
        found.sort(key=int)
    return tuple(found)


def _missing(raw: Any) -> bool:
    """Whether a cell has no label: nothing, spaces, or not a number, which is how tables of numbers write nothing."""
    return raw is None or (isinstance(raw, str) and not raw.strip()) or raw != raw
