"""How good the counterfactuals are, in the field's measures (CEval, MiCE): of all originals, and of the flipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from cod_runner.counterfactuals.ledger import PairOutcome


@dataclass(frozen=True)
class Quality:
    """One measure. None: nothing to measure."""

    name: str
    all: float | None
    flipped: float | None


def quality_table(outcomes: Sequence[PairOutcome]) -> list[Quality]:
    """Every measure, over all outcomes that have a candidate, and over the verified flips."""
    kept = [one for one in outcomes if one.counterfactual is not None]
    flipped = [one for one in kept if one.verified]
    attempts = [attempt for one in outcomes for attempt in one.attempts]
    read = [attempt for attempt in attempts if attempt.probabilities is not None]

    def both(name: str, measure: Callable[[PairOutcome], float | None]) -> Quality:
        return Quality(name, _mean(kept, measure), _mean(flipped, measure))

    return [
        Quality("originals searched", float(len(outcomes)), float(len(flipped))),
        Quality("yield (originals with a verified flip)", _share(len(flipped), len(outcomes)), None),
        Quality(
            "flip rate of candidates the teacher read",
            _share(sum(attempt.reason is None for attempt in read), len(read)),
            None,
        ),
        Quality("identical answers", _share(sum(one.reason == "identical" for one in attempts), len(attempts)), None),
        Quality("refused unread", _share(len(attempts) - len(read), len(attempts)), None),
        both("edits (words)", lambda one: one.edits),
        both("minimality (edits / words)", lambda one: one.minimality),
        both("probability change", probability_change),
        both("boundary margin |p1 - p2|", boundary_margin),
    ]


def probability_change(outcome: PairOutcome) -> float | None:
    """How much the probability of the flipped class fell."""
    if outcome.teacher_after is None:
        return None
    return outcome.teacher_before[outcome.from_label] - outcome.teacher_after[outcome.from_label]


def boundary_margin(outcome: PairOutcome) -> float | None:
    """How far the teacher is from doubt: the gap between its two likeliest classes."""
    if outcome.teacher_after is None:
        return None
    first, second = sorted(outcome.teacher_after, reverse=True)[:2]
    return first - second


def _mean(outcomes: Sequence[PairOutcome], measure: Callable[[PairOutcome], float | None]) -> float | None:
    values = [value for one in outcomes if (value := measure(one)) is not None]
    return fmean(values) if values else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
