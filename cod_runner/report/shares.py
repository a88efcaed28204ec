"""How much of a method's weighted loss each of its terms is: a term that is next to nothing teaches next to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.curves import TrainingCurve, weights_of
from cod_runner.report.table import MISSING, arm_name, in_order
from cod_runner.runs.records import CellRow

SHARES_TITLE = "What each loss term is of the loss"
SHARE_COLUMNS = ("method", "arm", "term", "k", "weight", "start", "middle", "end")
SHARES_NOTE = (
    "Shares of the weighted loss, means over seeds. Start, middle and end: the first, middle and last tenth of the "
    "steps."
)
LAST_STEP_NOTE = "Where a training left no curve, only its last step is known."
SMALL = 0.01
"""A term of the teacher that is less than this part of the loss, over the training, is warned of."""
PART = 0.1
"""Of the steps, for the start, the middle and the end."""


@dataclass(frozen=True)
class TermShare:
    """One term of one method, arm and k; shares are from 0 to 1, None where they are unknown."""

    method: str
    arm: str
    k: int
    term: str
    weight: float
    start: float | None
    middle: float | None
    end: float | None

    @property
    def overall(self) -> float:
        """The mean of what is known."""
        return fmean(share for share in (self.start, self.middle, self.end) if share is not None)

    @property
    def words(self) -> list[str]:
        """A row of :data:`SHARE_COLUMNS`."""
        shares = [percent(self.start), percent(self.middle), percent(self.end)]
        return [self.method, arm_name(self.arm), self.term, str(self.k), f"{self.weight:g}", *shares]


def term_shares(recipe: Recipe, rows: Sequence[CellRow], curves: Sequence[TrainingCurve]) -> list[TermShare]:
    """Every term of every method with two or more, by arm and k: of the curves, or of the last step of the cells."""
    by_place = {(curve.method, curve.arm, curve.k): curve for curve in curves}
    found = []
    for method in recipe.methods:
        weights = weights_of(recipe, method)
        if len(weights) < 2:
            continue
        for k in sorted(recipe.k):
            for arm in in_order(recipe.arms):
                cells = [row for row in rows if (row.method, row.arm, row.k) == (method, arm, k)]
                curve = by_place.get((method, arm, k))
                parts = _last_step(cells, weights) if curve is None else _of_curve(curve)
                found += [
                    TermShare(method, arm, k, term, weight, *(part.get(term) for part in parts))
                    for term, weight in weights.items()
                    if any(term in part for part in parts)
                ]
    return found


def share_notes(shares: Sequence[TermShare]) -> list[str]:
    """What the columns mean."""
    return [SHARES_NOTE, *([LAST_STEP_NOTE] if any(share.start is None for share in shares) else [])]


def small_terms_in_words(shares: Sequence[TermShare], of_teacher: Mapping[str, Sequence[str]] | None) -> list[str]:
    """A sentence for each term of the teacher that the student hardly feels, with the cure.

    ``of_teacher`` names them by method; without it nothing is said.
    """
    sentences = []
    for method, term in dict.fromkeys((share.method, share.term) for share in shares):
        small = [share for share in shares if (share.method, share.term) == (method, term) and share.overall < SMALL]
        if not small or term not in (of_teacher or {}).get(method, ()):
            continue
        where = ", ".join(f"{arm_name(share.arm)} at k = {share.k}" for share in small)
        largest = max(share.overall for share in small)
        weight = small[0].weight
        as_large = weight * (1 - largest) / largest if largest > 0 else None
        about = "" if as_large is None else f"; about {as_large:.2g} would make it as large as the rest"
        sentences.append(
            f"The term `{term}` of method {method} is {percent(largest)} of the weighted loss ({where}), so the "
            f"student hardly learns it from the teacher: raise its `weight` under `methods.{method}`, now "
            f"{weight:g}{about}."
        )
    return sentences


def percent(share: float | None) -> str:
    """``37%``, with a decimal place under 10%; a dash for None."""
    if share is None:
        return MISSING
    if 0 < share < 0.001:
        return "under 0.1%"
    return f"{100 * share:.1f}%" if share < 0.0995 else f"{100 * share:.0f}%"


Parts = tuple[dict[str, float], dict[str, float], dict[str, float]]
"""The share of each term at the start, in the middle and at the end; empty where it is unknown."""


def _of_curve(curve: TrainingCurve) -> Parts:
    points = len(curve.steps)
    length = max(1, round(PART * points))
    middle = (points - length) // 2

    def part(first: int) -> dict[str, float]:
        return _shares({term.term: fmean(term.mean[first : first + length]) for term in curve.terms})

    return part(0), part(middle), part(points - length)


def _last_step(cells: Sequence[CellRow], weights: Mapping[str, float]) -> Parts:
    known = [cell.losses for cell in cells if cell.losses is not None and weights.keys() <= cell.losses.keys()]
    if not known:
        return {}, {}, {}
    values = {term: weight * fmean(losses[term] for losses in known) for term, weight in weights.items()}
    return {}, {}, _shares(values)


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    """Each value's part of the sum; values below 0 count by their size."""
    total = sum(abs(value) for value in values.values())
    return {term: abs(value) / total for term, value in values.items()} if total > 0 and total < float("inf") else {}
