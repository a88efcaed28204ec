"""Inputs for display, and a word-by-word diff of two texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cod_runner.plain_text import visible

_WORD = re.compile(r"\s*(?:\w+(?:['’]\w+)*|[^\w\s])|\s+$")


@dataclass(frozen=True)
class Piece:
    """A stretch of text that both sides share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_diff(original: str, changed: str) -> list[Piece]:
    """The pieces in reading order, what was removed before what was added in its place.

    Joining all but the added ones gives ``original``; all but the removed, ``changed``. White space before a word
    belongs to the word, and is shared where both sides have the same.
    """
    pieces: list[Piece] = []
    for piece in _pieces(_WORD.findall(original), _WORD.findall(changed)):
        if pieces and pieces[-1].kind == piece.kind == "same":
            pieces[-1] = Piece("same", pieces[-1].text + piece.text)
        elif piece.text:
            pieces.append(piece)
    return pieces


def shown_input(value: Any) -> str:
    """An input as :func:`visible` text: a vector's numbers rounded, nothing for None."""
    if isinstance(value, list | tuple):
        return "(" + ", ".join(f"{number:.3g}" for number in value) + ")"
    return "" if value is None else visible(str(value))


def _pieces(ours: list[str], theirs: list[str]) -> Iterator[Piece]:
    bare_ours, bare_theirs = [word.strip() for word in ours], [word.strip() for word in theirs]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, bare_ours, bare_theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            for mine, other in zip(ours[a:b], theirs[c:d], strict=True):
                yield from _beside(mine, other)
        else:
            yield from _beside("".join(ours[a:b]), "".join(theirs[c:d]))


def _beside(removed: str, added: str) -> Iterator[Piece]:
    """The pieces of one text replaced by another; white space or words that both have are separate pieces."""
    space, other_space = _space_before(removed), _space_before(added)
    if removed and added and space == other_space:
        yield Piece("same", space)
        removed, added = removed[len(space) :], added[len(space) :]
    elif removed.strip() == added.strip():
        yield Piece("removed", space)
        yield Piece("added", other_space)
        removed, added = removed.strip(), added.strip()
    if removed == added:
        yield Piece("same", removed)
    else:
        yield Piece("removed", removed)
        yield Piece("added", added)


def _space_before(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]
