"""The chooser `margin`: how far past the teacher's boundary."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cod_runner.api import Attempt, BuildContext, Choice, Choosing
from codrun_choosers.plugin import MarginOptions
from codrun_choosers.small_changes import followed_by_the_others, small_changes


class Margin:
    """Ranks the smallest changes by their margin: the teacher's probability of the class that it reads less that of
    its second.

    The median is the lower one of an even number; after it come the next smaller and the next larger in turn. Between
    equal margins the given order decides. Without a chooser the largest margin among equal edits is taken.
    """

    nested = True

    def __init__(self, options: MarginOptions, context: BuildContext) -> None:
        self._which, self._within = options.which, options.within_edits

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        """For each choice, positions of its candidates, the best first."""
        return [self._best_first(choice) for choice in choices]

    def _best_first(self, choice: Choice) -> list[int]:
        margins = [_margin(candidate) for candidate in choice.candidates]
        sign = -1 if self._which == "farthest" else 1
        small = sorted(small_changes(choice, self._within), key=lambda place: sign * margins[place])
        if self._which == "median":
            middle = (len(small) - 1) // 2
            small = [small[rank] for rank in sorted(range(len(small)), key=lambda rank: (abs(rank - middle), rank))]
        return followed_by_the_others(small, choice)


def _margin(candidate: Attempt) -> float:
    first, second = heapq.nlargest(2, candidate.probabilities or (0.0, 0.0))
    return first - second
