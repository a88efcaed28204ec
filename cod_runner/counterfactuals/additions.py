"""What an arm adds to an original: which candidates of a search, with which label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cod_runner.api import Attempt, CodrunError, Example
from cod_runner.counterfactuals.different_words import on_different_words
from cod_runner.counterfactuals.outcomes import PairOutcome
from cod_runner.counterfactuals.search import PairSearch, margin, preference

What = Literal["flips", "misses", "copies", "texts"]
SUFFIX: dict[What, str] = {"flips": "cf", "misses": "miss", "copies": "copy", "texts": "text"}
"""What the ids of added examples end in, after that of their original."""


@dataclass(frozen=True)
class Addition:
    """One entry of an arm's ``add``: a search, and what is taken from its outcomes."""

    search: PairSearch
    what: What
    count: int = 1
    """How many of each original; flips and misses on different words."""
    before: int = 0
    """How many of the same kind the arm's earlier entries add: their ids are numbered on."""

    def candidates(self, outcome: PairOutcome) -> list[Attempt]:
        """What may be taken, the best first: of flips and copies by fewest edits, of misses the nearest to the
        boundary."""
        label = outcome.from_label
        read = [attempt for attempt in outcome.attempts if attempt.probabilities is not None]
        if self.what == "misses":
            same = [attempt for attempt in read if _read_as(attempt) == label]
            return sorted(same, key=lambda one: (-margin(one, label), one.edits or 0.0, str(one.input)))
        return sorted((one for one in read if one.reason is None), key=lambda one: preference(one, label))

    def of(self, original: Example, outcome: PairOutcome, order: Sequence[int] | None = None) -> list[Example] | None:
        """The examples to add, ``count`` of them; None where there are too few.

        ``order`` holds positions in :meth:`candidates`, the best first, where a chooser ranked them. Raises
        :class:`CodrunError` where the recipe says that this ends the run.
        """
        if self.what == "flips" and self.count == 1 and order is None:
            return self._chosen_by_the_search(original, outcome)
        ranked = self.candidates(outcome)
        if order is not None:
            ranked = [*(ranked[place] for place in order), *ranked]
        if self.what in ("flips", "misses"):
            taken = on_different_words(outcome.original, ranked, self.count)
        else:
            taken = list(dict.fromkeys(ranked))[: self.count]
        if len(taken) < self.count:
            self._end_if_asked_to(original, outcome)
            return None
        return [self._example(original, attempt, number) for number, attempt in enumerate(taken)]

    def unlabelled(self, original: Example, outcome: PairOutcome) -> list[Example]:
        """Up to ``count`` of its candidates, with the teacher's word alone."""
        return [
            Example(f"{original.id}~new{number}", attempt.input)
            for number, attempt in enumerate(self.candidates(outcome)[: self.count], start=1)
        ]

    def _chosen_by_the_search(self, original: Example, outcome: PairOutcome) -> list[Example] | None:
        """The counterfactual as the search settled it, unverified ones included where the recipe wants them."""
        if outcome.counterfactual is None or outcome.label is None:
            self._end_if_asked_to(original, outcome)
            return None
        return [Example(self._id(original, 0), outcome.counterfactual, outcome.label, is_counterfactual=True)]

    def _example(self, original: Example, attempt: Attempt, number: int) -> Example:
        # A copy is an augmentation: it has its original's label. Anything else has the teacher's word.
        label = original.hard_label if self.what == "copies" else _read_as(attempt)
        return Example(self._id(original, number), attempt.input, label, is_counterfactual=self.what == "flips")

    def _id(self, original: Example, number: int) -> str:
        """``train:7~cf``, ``train:7~cf2`` and so on."""
        number += self.before
        return f"{original.id}~{SUFFIX[self.what]}{number + 1 if number else ''}"

    def _end_if_asked_to(self, original: Example, outcome: PairOutcome) -> None:
        if self.search.settings.on_failure == "fail":
            shown = str(original.input)[:80]
            reasons = ", ".join(f"{count} {reason}" for reason, count in outcome.reasons.items()) or "none proposed"
            raise CodrunError(
                f"no counterfactual was found for `{original.id}` (`{shown}`; candidates: {reasons}) and "
                "`on_failure` is `fail`; `redraw` takes the next original instead"
            )


def _read_as(attempt: Attempt) -> int:
    assert attempt.probabilities is not None
    return attempt.probabilities.index(max(attempt.probabilities))
