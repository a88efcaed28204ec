"""What changed between an original and its counterfactual, word by word, for the eye."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

_WORDS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]|\s+")


@dataclass(frozen=True)
class Piece:
    """A run of text that both sides share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_diff(original: str, changed: str) -> list[Piece]:
    """The pieces, in reading order, what was removed before what was added in its place.

    Joining all but the added gives ``original``; all but the removed, ``changed``.
    """
    left, right = _WORDS.findall(original), _WORDS.findall(changed)
    pieces: list[Piece] = []
    for kind, start, end, other_start, other_end in difflib.SequenceMatcher(None, left, right, False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(left[start:end])))
            continue
        if start < end:
            pieces.append(Piece("removed", "".join(left[start:end])))
        if other_start < other_end:
            pieces.append(Piece("added", "".join(right[other_start:other_end])))
    return pieces


def shown_input(value: Any) -> str:
    """An input as a line of text: a vector's numbers rounded, characters that control the terminal or the direction
    of the text made visible."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(f"{number:.3g}" for number in value) + ")"
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "�", "" if value is None else str(value))
