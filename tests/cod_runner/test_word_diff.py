"""One diff for the terminal and for the report."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from cod_runner.word_diff import Piece, shown_input, word_diff

SIDES = [
    ("I liked the film, it's good.", "I disliked the film, it's not good."),
    ("  two  spaces\tand a tab ", "two spaces and  a tab"),
    ("same", "same"),
    ("", "all new "),
    ("all gone", ""),
    ("a good\nfilm", "a bad film"),
    *pairwise(UNTRUSTED_TEXTS),
]


@pytest.mark.parametrize(("original", "changed"), SIDES, ids=range(len(SIDES)))
def test_the_pieces_give_both_sides_back(original: str, changed: str) -> None:
    pieces = word_diff(original, changed)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == original
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == changed
    assert all(piece.text for piece in pieces)
    kinds = [piece.kind for piece in pieces]
    assert ("same", "same") not in pairwise(kinds), "what is shared is one piece"


def test_the_words_that_changed_are_the_pieces() -> None:
    assert word_diff("I liked it, it's good.", "I disliked it, it's not good.") == [
        Piece("same", "I "),
        Piece("removed", "liked"),
        Piece("added", "disliked"),
        Piece("same", " it, it's"),
        Piece("added", " not"),
        Piece("same", " good."),
    ]
    assert word_diff("a  good film", "a good film") == [
        Piece("same", "a"), Piece("removed", "  "), Piece("added", " "), Piece("same", "good film")
    ]  # fmt: skip


def test_inputs_are_shown_without_control() -> None:
    assert shown_input([0.123456, -2]) == "(0.123, -2)"
    assert shown_input(None) == ""
    assert shown_input("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\n"
