"""The chooser `disagreement`: what the student does not know yet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cod_runner.api import BuildContext, Choice, Choosing
from codrun_choosers.plugin import DisagreementOptions
from codrun_choosers.small_changes import followed_by_the_others, small_changes

SMALLEST = 1e-12
"""Probabilities are taken to be at least this, so that the logarithm of none is infinite."""


class Disagreement:
    """Ranks small changes by the Kullback-Leibler divergence of the student from the teacher, the largest first.

    The maximisation step of MiniMax-kNN (Kamalloo et al., Findings of ACL 2021, arXiv 2105.13608), which trains on
    those of an example's augmentations on which KL(teacher || student) is largest. It chooses again and again while the
    student trains, from neighbours in a large repository; here the student is asked once, after a few steps on the
    originals alone, about the candidates of the search. The set depends on that student, and so on k.
    """

    nested = False

    def __init__(self, options: DisagreementOptions, context: BuildContext) -> None:
        self._options = options

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        """For each choice, positions of its candidates, the best first."""
        small = [small_changes(choice, self._options.within_edits) for choice in choices]
        inputs = [
            choice.candidates[place].input
            for choice, places in zip(choices, small, strict=True)
            for place in places
            if len(places) > 1
        ]
        said = iter(choosing.student(inputs, self._options.steps)) if inputs else iter(())
        ranked = []
        for choice, places in zip(choices, small, strict=True):
            if len(places) > 1:
                order = {
                    place: self._known(choice.candidates[place].probabilities or (), next(said)) for place in places
                }
                places = sorted(places, key=order.__getitem__)
            ranked.append(followed_by_the_others(places, choice))
        return ranked

    def _known(self, teacher: Sequence[float], student: Sequence[float]) -> tuple[bool, float]:
        """Sorts what the student knows behind what it does not."""
        agrees = _read(teacher) == _read(student)
        return (self._options.misread and agrees, -_divergence(teacher, student))


def _read(probabilities: Sequence[float]) -> int:
    return max(range(len(probabilities)), key=probabilities.__getitem__, default=-1)


def _divergence(teacher: Sequence[float], student: Sequence[float]) -> float:
    """KL(teacher || student) in nats."""
    return sum(
        ours * math.log(max(ours, SMALLEST) / max(theirs, SMALLEST))
        for ours, theirs in zip(teacher, student, strict=True)
    )
