"""What selectors share: a part of the pool that is ranked, before the rest of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cod_runner.api import Selection


def ranked_among(selection: Selection, among: int | None, rank: Callable[[Selection], Sequence[int]]) -> list[int]:
    """``rank`` of the first ``among`` inputs (None: all), then the other positions in order."""
    count = len(selection.inputs) if among is None else min(among, len(selection.inputs))
    first = rank(replace(selection, inputs=selection.inputs[:count])) if count else []
    return [*first, *range(count, len(selection.inputs))]
