"""Which candidates are small changes, about which every chooser of this package has its own opinion."""

from __future__ import annotations

from cod_runner.api import Attempt, Choice


def small_changes(choice: Choice, within_edits: float) -> list[int]:
    """Positions of the candidates of the lowest tier that have at most ``within_edits`` more edits than the fewest of
    that tier, in the order in which they are given."""
    lowest = min((each.tier for each in choice.candidates), default=0)
    natural = [place for place, each in enumerate(choice.candidates) if each.tier == lowest]
    most = min((_edits(choice.candidates[place]) for place in natural), default=0.0) + within_edits
    return [place for place in natural if _edits(choice.candidates[place]) <= most]


def followed_by_the_others(first: list[int], choice: Choice) -> list[int]:
    """Positions of all candidates: ``first``, then the rest as they are given."""
    taken = set(first)
    return [*first, *(place for place in range(len(choice.candidates)) if place not in taken)]


def _edits(candidate: Attempt) -> float:
    return 0.0 if candidate.edits is None else candidate.edits
