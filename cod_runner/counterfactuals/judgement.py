"""Why a candidate is refused: first by its text, then by the teacher's reading. No model judges its own work."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

from cod_runner.api import Input, Request, TeacherView
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.recipe.grammar import Counterfactuals


class Reason(StrEnum):
    """Reject reasons, spelled as in ``counterfactuals.jsonl``."""

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
    TOO_NEAR = "too_near"
    FLIPPED = "flipped"
    EVALUATION_ROW = "evaluation_row"


_REFUSAL = re.compile(
    r"\bi('m| am) (sorry\b.{0,40}\b(can('t|not)|unable|won't|not able)|unable to|not able to)"
    r"|\bi (can('t|not)|won't) (help(?! but)|assist|do that|provide|rewrite|comply|fulfil|generate|create|change)"
    r"|\bas an? (ai|(large )?language model)\b|\bcannot (assist|comply|fulfil)|\bi('m| am) sorry[,.!]?$",
    re.IGNORECASE | re.DOTALL,
)
_AGREED = r"(sure|certainly|of course|okay|ok|absolutely)[,.!:]*"
_PREAMBLE = re.compile(
    rf"{_AGREED}|({_AGREED}\s*)?((here|this|below|the|a|your)\b[^.!?:]{{0,80}}:"
    r"|(here('s| is| are)|this is|below is)\b[^.!?:]{0,40}"
    r"\b(rewritten|modified|revised|edited|counterfactual|rephrased)\b[^.!?:]{0,40})",
    re.IGNORECASE,
)
"""What a model says before its answer: refused where no answer follows."""


def refused_unasked(
    candidate: Input,
    request: Request,
    tried: Collection[Input],
    teacher: TeacherView,
    limits: Counterfactuals | None,
    held_out: NearDuplicates | None = None,
) -> Reason | None:
    """Why a candidate is refused without asking the teacher; None where it is not.

    ``limits`` say how far it may be from its original; None where it need not be near.
    """
    original = request.input
    edits, share = teacher.distance(original, candidate)
    if not isinstance(candidate, str) or not isinstance(original, str):
        if edits == 0:
            return Reason.IDENTICAL
        return Reason.DUPLICATE if candidate in tried else None
    if not re.search(r"\w", candidate):
        return Reason.EMPTY
    if edits == 0 or folded(candidate) == folded(original):
        return Reason.IDENTICAL
    if folded(candidate) in {folded(str(one)) for one in tried}:
        return Reason.DUPLICATE
    plain, plain_original = candidate.replace("’", "'"), original.replace("’", "'")
    if _REFUSAL.search(plain) and not _REFUSAL.search(plain_original):
        return Reason.REFUSAL
    if _PREAMBLE.fullmatch(plain.strip()) and not _PREAMBLE.fullmatch(plain_original.strip()):
        return Reason.PREAMBLE_ONLY
    if any(_leaks(label, candidate, original) for label in teacher.labels):
        return Reason.LABEL_WORD
    if limits is not None:
        lowest, highest = limits.length_ratio
        if not lowest <= len(candidate) / max(1, len(original)) <= highest:
            return Reason.LENGTH_RATIO
        if share > limits.max_edits:
            return Reason.TOO_MANY_EDITS
    if held_out is not None and held_out.nearest(candidate, original) is not None:
        return Reason.EVALUATION_ROW
    return None


def refused_by_teacher(
    probabilities: tuple[float, ...], request: Request, any_other: bool, margin: float = 0.0
) -> Reason | None:
    """The teacher's verdict: None for a flip to the target (or, with ``any_other``, to any other class) that lies at
    least ``margin`` past the boundary."""
    read_as = probabilities.index(max(probabilities))
    if read_as == request.label:
        return Reason.NOT_FLIPPED
    if not any_other and read_as != request.target:
        return Reason.WRONG_CLASS
    return Reason.TOO_NEAR if probabilities[read_as] - probabilities[request.label] < margin else None


def folded(text: str) -> str:
    """A text with case and white space folded, which are not a change."""
    return " ".join(text.casefold().split())


def _leaks(label: str, candidate: str, original: str) -> bool:
    """Whether a label's name is in the candidate and not in the original: an answer that names its class."""
    word = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
    return bool(word.search(candidate)) and not word.search(original)
