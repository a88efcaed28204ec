"""The walk along the originals: which of them are searched, until enough can be used or it is clear that few can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cod_runner.api import Example
from cod_runner.binomial import at_most
from cod_runner.counterfactuals.search import SEARCHED_TOGETHER

LOWEST_YIELD = 0.05
"""A walk ends where it is clear that fewer of the originals than this share can be used."""
DOUBT = 0.05
"""How likely so few would be if just this share could be used: at most this, so that it is clear."""


@dataclass(frozen=True)
class Walked:
    """How far a walk came along one order."""

    found: tuple[Example, ...]
    """Originals that can be used."""
    looked_at: int
    gave_up: bool = False
    """Whether it ended since too few could be used."""


def walk(
    orders: Sequence[Sequence[Example]],
    wanted: int,
    usable: Callable[[Sequence[Example]], Sequence[bool]],
    *,
    tried: Callable[[Example], bool] = lambda original: True,
    redraw: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Walked]:
    """Of each order the first ``wanted`` usable originals, as ``usable`` says of some originals at a time.

    ``orders`` are walked side by side, so that many originals are searched together. Where one cannot be used, the walk
    takes the next, or without ``redraw`` ends one short. An exhausted order gives what it has, and so does one in which
    too few can be used (:func:`is_hopeless`) of those for which something was ``tried``: a generator that only knows a
    few of the originals costs nothing for the others.
    """
    can: dict[str, bool] = {}
    places = [0] * len(orders)
    total = wanted * len(orders)

    def so_far() -> list[Walked]:
        return [_walked(order[:place], can, tried, redraw) for order, place in zip(orders, places, strict=True)]

    def following() -> list[Example]:
        """The originals to look at next; moves ``places`` past them."""
        pending: dict[str, Example] = {}
        for number, (order, walked) in enumerate(zip(orders, so_far(), strict=True)):
            place = places[number]
            if walked.gave_up:
                continue
            have = len(walked.found) if redraw else place
            places[number] = min(len(order), place + max(0, wanted - have))
            pending.update((one.id, one) for one in order[place : places[number]])
        return list(pending.values())

    while pending := following():
        for start in range(0, len(pending), SEARCHED_TOGETHER):
            part = pending[start : start + SEARCHED_TOGETHER]
            can.update((one.id, usable_one) for one, usable_one in zip(part, usable(part), strict=True))
            progress(min(sum(can.values()), total), total)
    return so_far()


def is_hopeless(looked_at: int, found: int) -> bool:
    """Whether so few of the originals looked at can be used that fewer than :data:`LOWEST_YIELD` of all can, by the
    exact binomial test: none of 59, 1 of 93, 2 of 124, 10 of 336.

    It looks at the originals in their order and at nothing else, not at how many are wanted: so the walk of a smaller k
    lies inside that of a larger one, and the same original ends it whatever else a run does.
    """
    return found < LOWEST_YIELD * looked_at and at_most(found, looked_at, LOWEST_YIELD) < DOUBT


def _walked(seen: Sequence[Example], can: Mapping[str, bool], tried: Callable[[Example], bool], redraw: bool) -> Walked:
    found: list[Example] = []
    failed = 0
    for looked_at, one in enumerate(seen, start=1):
        if can[one.id]:
            found.append(one)
        elif tried(one):
            failed += 1
        if redraw and is_hopeless(len(found) + failed, len(found)):
            return Walked(tuple(found), looked_at, gave_up=True)
    return Walked(tuple(found), len(seen))
