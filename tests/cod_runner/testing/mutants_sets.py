"""Selectors and choosers, each wrong in one thing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import mutant_options as wrong
import numpy
from mutant_table import mutant

from cod_runner.api import BuildContext, Choice, Choosing, Selection

DRAWN = random.Random(0)


@mutant("selector")
@mutant("selector", options=wrong.Scaled)
class ByLength:
    """Right."""

    nested: Any = True

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.options = options

    def rank(self, selection: Selection) -> Any:
        return sorted(range(len(selection.inputs)), key=lambda place: len(selection.inputs[place]))  # type: ignore[arg-type]


@mutant("selector", "ranked .* of 24 inputs")
class LeavesOneOut(ByLength):
    def rank(self, selection: Selection) -> Any:
        return super().rank(selection)[1:]


@mutant("selector", "ranked .* of 24 inputs")
class Twice(ByLength):
    def rank(self, selection: Selection) -> Any:
        return [0, *super().rank(selection)[:-1]]


@mutant("selector", r"ranked array\(")
class AsArray(ByLength):
    def rank(self, selection: Selection) -> Any:
        return numpy.array(super().rank(selection))


@mutant("selector", "ranked .* of 24 inputs")
class OnlyTheWanted(ByLength):
    def rank(self, selection: Selection) -> Any:
        return super().rank(selection)[: selection.wanted]


@mutant("selector", "has the `nested` None")
class SaysNotWhether(ByLength):
    nested = None


@mutant("selector", "says that it is nested, and ranks otherwise for 1 than for 4")
class NotNested(ByLength):
    def rank(self, selection: Selection) -> Any:
        order = super().rank(selection)
        turn = selection.wanted % max(1, len(order))
        return order[turn:] + order[:turn]


@mutant("selector")
class SaysThatItIsNot(NotNested):
    """Right."""

    nested = False


@mutant("selector", "ranks the same inputs in another order when it is asked again")
class ByChance(ByLength):
    def rank(self, selection: Selection) -> Any:
        return DRAWN.sample(range(len(selection.inputs)), len(selection.inputs))


@mutant("selector", "changed the random generator of random in `rank`")
class ByTheProcess(ByLength):
    def rank(self, selection: Selection) -> Any:
        random.seed(selection.seed)
        return random.sample(range(len(selection.inputs)), len(selection.inputs))


@mutant("selector", "changed the random generator of numpy.random in `rank`")
class ByNumpy(ByLength):
    def rank(self, selection: Selection) -> Any:
        numpy.random.seed(selection.seed)
        return super().rank(selection)


@mutant("selector", "changed the inputs that it was given")
class SortsInPlace(ByLength):
    def rank(self, selection: Selection) -> Any:
        order = super().rank(selection)
        selection.inputs.sort(key=len)  # type: ignore[attr-defined]
        return order


@mutant("selector", "raised IndexError in `rank`")
class CannotDoNothing(ByLength):
    def rank(self, selection: Selection) -> Any:
        assert selection.inputs[0] is not None
        return super().rank(selection)


@mutant("selector", "asked the teacher about 24 texts for 4 originals, and says 3", wrong.AsksThree)
class AsksAboutAll(ByLength):
    def rank(self, selection: Selection) -> Any:
        selection.teacher.score(selection.inputs)
        return super().rank(selection)


@mutant("selector", "gives other results with `scale: ", wrong.ScaleLeftOut)
class ByScale(ByLength):
    def rank(self, selection: Selection) -> Any:
        order = super().rank(selection)
        return order if self.options.scale < 2 else order[::-1]


@mutant("chooser")
class FewestEdits:
    """Right."""

    nested: Any = True

    def __init__(self, options: Any, context: BuildContext) -> None:
        """Nothing to keep."""

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        return [self.of(choice, number) for number, choice in enumerate(choices)]

    def of(self, choice: Choice, number: int) -> Any:
        return sorted(range(len(choice.candidates)), key=lambda place: choice.candidates[place].edits or 0.0)


@mutant("chooser", "ranks 5 choices as ")
class AnswersFour(FewestEdits):
    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        return super().rank(choices, choosing)[:4]


@mutant("chooser", r"ranks 0 candidates as \[0\]")
class AlwaysTheFirst(FewestEdits):
    def of(self, choice: Choice, number: int) -> Any:
        return [0]


@mutant("chooser", r"ranks 3 candidates as \[0, 0\]")
class TheFirstTwice(FewestEdits):
    def of(self, choice: Choice, number: int) -> Any:
        return [0, 0] if choice.candidates else []


@mutant("chooser", "ranks 0 candidates as None")
class NothingToChoose(FewestEdits):
    def of(self, choice: Choice, number: int) -> Any:
        return super().of(choice, number) if choice.candidates else None


@mutant("chooser", "has the `nested` 'yes'")
class SaysYes(FewestEdits):
    nested = "yes"


@mutant("chooser", "says that it is nested, and later originals change its earlier choices")
class LooksAhead(FewestEdits):
    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        ranked = super().rank(choices, choosing)
        return [order[::-1] for order in ranked] if len(choices) % 2 else ranked


@mutant("chooser")
class SaysThatItLooksAhead(LooksAhead):
    """Right."""

    nested = False


@mutant("chooser", "ranks the same candidates otherwise when it is asked again")
class ByChanceHere(FewestEdits):
    def of(self, choice: Choice, number: int) -> Any:
        return DRAWN.sample(range(len(choice.candidates)), len(choice.candidates))


@mutant("chooser", "changed the choices that it was given")
class TakesAway(FewestEdits):
    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        ranked = super().rank(choices, choosing)
        choices.reverse()  # type: ignore[attr-defined]
        return ranked


@mutant("chooser", "asks the teacher about 11 texts for 5 originals, and says 3", wrong.AsksThree)
class AsksAboutEach(FewestEdits):
    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        for choice in choices:
            choosing.teacher.score([candidate.input for candidate in choice.candidates])
        return super().rank(choices, choosing)


@mutant("chooser", "asks for a student after 0 steps")
class AsksAStudentOfNothing(FewestEdits):
    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> Any:
        choosing.student([choice.original.input for choice in choices], 0)
        return super().rank(choices, choosing)


@mutant("chooser", "raised ValueError in `rank`")
class NeedsACandidate(FewestEdits):
    def of(self, choice: Choice, number: int) -> Any:
        assert max(candidate.edits or 0.0 for candidate in choice.candidates) >= 0
        return super().of(choice, number)
