"""Why a candidate is refused: first by looking at it, then by the teacher's word. No model judges its own work."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

from cod_runner.api import Input, Request, TeacherView
from cod_runner.recipe.grammar import Counterfactuals


class Reason(StrEnum):
    """Reject reasons, as they stand in ``counterfactuals.jsonl``."""

    EMPTY = "empty"
    IDENTICAL = "identical"
    DUPLICATE = "duplicate"
    REFUSAL = "refusal"
    PREAMBLE_ONLY = "preamble_only"
    LABEL_WORD = "label_word"
    LENGTH_RATIO = "length_ratio"
    TOO_MANY_EDITS = "too_many_edits"
    NOT_FLIPPED = "not_flipped"
    WRONG_CLASS = "wrong_class"


_REFUSAL = re.compile(
    r"\b(i('m| am) (sorry|unable|not able)|i (can('t|not)|won't) (help|assist|do|provide|rewrite|comply|fulfil)"
    r"|as an ai( language)? model|cannot (assist|comply|fulfil))",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"(sure|certainly|of course|okay|ok|here('s| is| are)|the (rewritten|modified|new|edited))\b[^.!?]{0,80}[:!.]?",
    re.IGNORECASE,
)


def refused_unasked(
    candidate: Input,
    request: Request,
    tried: Collection[Input],
    labels: tuple[str, ...],
    settings: Counterfactuals,
    teacher: TeacherView,
) -> Reason | None:
    """What is wrong with a candidate before the teacher is asked; None where nothing is."""
    original = request.input
    if not isinstance(candidate, str) or not isinstance(original, str):
        if candidate == original:
            return Reason.IDENTICAL
        return Reason.DUPLICATE if candidate in tried else None
    if not re.search(r"\w", candidate):
        return Reason.EMPTY
    if folded(candidate) == folded(original):
        return Reason.IDENTICAL
    if candidate in tried:
        return Reason.DUPLICATE
    if _REFUSAL.search(candidate) and not _REFUSAL.search(original):
        return Reason.REFUSAL
    if _PREAMBLE.fullmatch(candidate.strip()) and not _PREAMBLE.fullmatch(original.strip()):
        return Reason.PREAMBLE_ONLY
    if any(_leaks(label, candidate, original) for label in labels):
        return Reason.LABEL_WORD
    lowest, highest = settings.length_ratio
    if not lowest <= len(candidate) / max(1, len(original)) <= highest:
        return Reason.LENGTH_RATIO
    if teacher.distance(original, candidate)[1] > settings.max_edits:
        return Reason.TOO_MANY_EDITS
    return None


def refused_by_teacher(probabilities: tuple[float, ...], request: Request, any_other: bool) -> Reason | None:
    """The teacher's verdict: None for a flip to the target (or, with ``any_other``, to any other class)."""
    read_as = probabilities.index(max(probabilities))
    if read_as == request.label:
        return Reason.NOT_FLIPPED
    return None if any_other or read_as == request.target else Reason.WRONG_CLASS


def folded(text: str) -> str:
    """A text without what does not change it: case and white space."""
    return " ".join(text.casefold().split())


def _leaks(label: str, candidate: str, original: str) -> bool:
    """Whether a label's name stands in the candidate and not in the original: an answer that names its class."""
    word = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
    return bool(word.search(candidate)) and not word.search(original)
