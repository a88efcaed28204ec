"""How good the counterfactuals are, in the field's measures (CEval, MiCE): over all originals, and over the flipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from cod_runner.api import Attempt, CfeMeasure, Example
from cod_runner.component_results import check_measures
from cod_runner.counterfactuals.judgement import Reason, folded
from cod_runner.counterfactuals.outcomes import PairOutcome
from cod_runner.recipe.expectation import CFE_MEASURES, CfeNumber

NO_CANDIDATE = (Reason.EMPTY, Reason.REFUSAL, Reason.PREAMBLE_ONLY)
"""Reject reasons of answers that hold no candidate."""

MANY_EDITS = 3
"""From so many on a text is no longer minimally changed."""


@dataclass(frozen=True)
class Quality:
    """One measure, over all originals and over those that were flipped. None: nothing to measure."""

    name: str
    all: float | None
    flipped: float | None


def quality_table(outcomes: Sequence[PairOutcome], gold: Sequence[Example] = ()) -> list[Quality]:
    """Every measure. ``all``: each original's best candidate, flipped or not; ``flipped``: the verified flips alone.

    ``gold``, the originals in the order of the outcomes, adds how often the teacher agrees with their labels.
    """
    successes = [outcome for outcome in outcomes if outcome.verified]
    best = [candidate for outcome in outcomes if (candidate := _best_candidate(outcome)) is not None]
    flipped = [candidate for outcome in successes if (candidate := _best_candidate(outcome)) is not None]
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    read = [
        Candidate(outcome, attempt)
        for outcome in outcomes
        for attempt in outcome.attempts
        if attempt.probabilities is not None
    ]

    def both(name: str, measure: Callable[[Candidate], float | None]) -> Quality:
        return Quality(name, _mean(best, measure), _mean(flipped, measure))

    def share(name: str, part: int, whole: int) -> Quality:
        return Quality(name, part / whole if whole else None, None)

    rows = [
        Quality("originals searched", float(len(outcomes)), float(len(successes))),
        share(_title("yield"), len(successes), len(outcomes)),
        share(_title("flip_rate"), sum(_flips(one) for one in read), len(read)),
        share(_title("refused"), len(attempts) - len(read), len(attempts)),
        share("answers that hold a candidate", sum(one.reason not in NO_CANDIDATE for one in attempts), len(attempts)),
        share("identical answers", sum(one.reason == Reason.IDENTICAL for one in attempts), len(attempts)),
        both(_title("edits"), lambda one: one.attempt.edits),
        both(_title("three_edits"), many_edits),
        both(_title("minimality"), minimality),
        both(_title("probability_change"), probability_change),
        both(_title("certainty"), certainty),
        both(_title("boundary_margin"), boundary_margin),
        Quality(_title("diversity"), diversity(outcomes), diversity(successes)),
    ]
    if gold:
        agreed = [
            outcome.teacher_before.index(max(outcome.teacher_before)) == example.label
            for outcome, example in zip(outcomes, gold, strict=True)
        ]
        of_flipped = [same for same, outcome in zip(agreed, outcomes, strict=True) if outcome.verified]
        rows.append(Quality("teacher agrees with gold", _share(agreed), _share(of_flipped)))
    return rows


def measured(outcomes: Sequence[PairOutcome], measures: Sequence[CfeMeasure]) -> list[Quality]:
    """A row per measure, over the candidates that :func:`quality_table` uses; each measure is called once."""
    best = [candidate for outcome in outcomes if (candidate := _best_candidate(outcome)) is not None]
    pairs = [(one.outcome.original, one.attempt.input) for one in best]
    rows = []
    for measure in measures:
        values = check_measures(f"the measure `{measure.title}`", measure(pairs), len(pairs))
        of_flipped = [value for one, value in zip(best, values, strict=True) if one.outcome.verified]
        rows.append(Quality(measure.title, _mean_of(values), _mean_of(of_flipped)))
    return rows


def _title(name: CfeNumber) -> str:
    """What a row is called that an expectation can be about."""
    return CFE_MEASURES[name][0]


@dataclass(frozen=True)
class Candidate:
    """An outcome seen through one of its attempts."""

    outcome: PairOutcome
    attempt: Attempt


def minimality(candidate: Candidate) -> float | None:
    """Edits over the original's words: as stored for the counterfactual itself, computed for any other candidate."""
    outcome, edits = candidate.outcome, candidate.attempt.edits
    if candidate.attempt.input == outcome.counterfactual:
        return outcome.minimality
    words = len(outcome.original.split()) if isinstance(outcome.original, str) else None
    return edits / words if edits is not None and words else None


def probability_change(candidate: Candidate) -> float | None:
    """By how much the probability of the class to be flipped fell."""
    after, label = candidate.attempt.probabilities, candidate.outcome.from_label
    return None if after is None else candidate.outcome.teacher_before[label] - after[label]


def many_edits(candidate: Candidate) -> float | None:
    """1 for three edits or more, else 0: their mean is a share."""
    edits = candidate.attempt.edits
    return None if edits is None else float(edits >= MANY_EDITS)


def certainty(candidate: Candidate) -> float | None:
    """The teacher's largest probability."""
    return None if candidate.attempt.probabilities is None else max(candidate.attempt.probabilities)


def boundary_margin(candidate: Candidate) -> float | None:
    """How sure the teacher is: the gap between its two likeliest classes."""
    if candidate.attempt.probabilities is None:
        return None
    first, second = sorted(candidate.attempt.probabilities, reverse=True)[:2]
    return first - second


def diversity(outcomes: Sequence[PairOutcome]) -> float | None:
    """Mean share of words in which two candidates of one original differ: 1 less the Jaccard index of their words.

    Over originals with at least two candidates that the teacher read; None where there are none, or for vectors.
    """
    values = []
    for outcome in outcomes:
        texts = [one.input for one in outcome.attempts if one.probabilities is not None and isinstance(one.input, str)]
        words = [set(folded(text).split()) for text in texts]
        apart = [1 - len(one & other) / len(one | other) for one, other in combinations(words, 2) if one | other]
        if apart:
            values.append(fmean(apart))
    return fmean(values) if values else None


def _best_candidate(outcome: PairOutcome) -> Candidate | None:
    """The counterfactual; where there is none, the candidate that came nearest."""
    read = [one for one in outcome.attempts if one.probabilities is not None]
    for attempt in read:
        if attempt.input == outcome.counterfactual:
            return Candidate(outcome, attempt)
    if not read:
        return None
    label = outcome.from_label
    return Candidate(outcome, min(read, key=lambda one: one.probabilities[label] if one.probabilities else 1.0))


def _flips(candidate: Candidate) -> bool:
    """Whether the teacher reads it as another class, which without verification nothing else has checked."""
    after = candidate.attempt.probabilities
    return (
        candidate.attempt.reason is None
        and after is not None
        and after.index(max(after)) != candidate.outcome.from_label
    )


def _mean(candidates: Sequence[Candidate], measure: Callable[[Candidate], float | None]) -> float | None:
    return _mean_of([measure(one) for one in candidates])


def _mean_of(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
