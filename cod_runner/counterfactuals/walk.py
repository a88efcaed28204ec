"""The walk along the originals: which of them are searched, until enough can be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cod_runner.api import Example
from cod_runner.counterfactuals.search import SEARCHED_TOGETHER


def walk(
    orders: Sequence[Sequence[Example]],
    wanted: int,
    usable: Callable[[Sequence[Example]], Sequence[bool]],
    *,
    redraw: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Example]:
    """The first ``wanted`` usable originals of each order, as ``usable`` says of some originals at a time.

    ``orders`` are walked side by side, so that many originals are searched together. Where one cannot be used, the walk
    takes the next, or without ``redraw`` ends one short. An exhausted order gives what it has.
    """
    found: dict[str, Example] = {}
    places = [0] * len(orders)
    total = wanted * len(orders)

    def following() -> list[Example]:
        """The originals to look at next; moves ``places`` past them."""
        pending: dict[str, Example] = {}
        for number, order in enumerate(orders):
            place = places[number]
            have = sum(one.id in found for one in order[:place]) if redraw else place
            places[number] = min(len(order), place + max(0, wanted - have))
            pending.update((one.id, one) for one in order[place : places[number]])
        return list(pending.values())

    while pending := following():
        for start in range(0, len(pending), SEARCHED_TOGETHER):
            part = pending[start : start + SEARCHED_TOGETHER]
            found.update((one.id, one) for one, can in zip(part, usable(part), strict=True) if can)
            progress(min(len(found), total), total)
    return list(found.values())
