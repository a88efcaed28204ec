"""Whether a text is, to a word or so, one of others: a text that was made up, a row that students are evaluated on.

A counterfactual of a training text may come out as another text of the data set: a model has seen it, or two rows of
the data differ in one word. Trained on with its label, such a text gives the evaluation away.

Ordinary texts are not near: of the 6,872 that `lexicon` proposed for 1,500 sentences of Rotten Tomatoes, and of 6,530
other sentences, none is near to one of 2,000 more. Of 577 short reviews of IMDB one is near to one of 200 others, and
is the same review less a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from cod_runner.api import Example, Input

FEWEST_WORDS = 5
"""A shorter row is near to what equals it alone: one word of four is a quarter of what it says."""
SHARE_OF_WORDS = 0.1
"""Of a row's words, how many another text may have differently and still count as near; at least one may differ."""

_WORD = re.compile(r"\w+")
_APOSTROPHES = str.maketrans("", "", "'’`")

Words = tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """One text to keep away from."""

    id: str
    words: Words

    @property
    def radius(self) -> int:
        """The largest edit distance, in words, that is near."""
        return max(1, int(SHARE_OF_WORDS * len(self.words))) if len(self.words) >= FEWEST_WORDS else 0


class NearDuplicates:
    """Rows, indexed for the question which of them a text is near to: the rows that students are evaluated on, say, or
    those that one is trained on.

    A text within edit distance r of a row leaves one of any r + 1 pieces of the row whole, hardly moved; so the rows
    that share a piece are the only ones that are compared. 50,000 questions against 2,000 rows take seconds.
    """

    def __init__(self, rows: Iterable[Example]) -> None:
        self._equal: dict[Input, str] = {}
        self._with_piece: dict[Words, list[tuple[_Row, int]]] = defaultdict(list)
        for example in rows:
            self._equal.setdefault(_folded(example.input), example.id)
            row = _Row(example.id, _words(example.input))
            if row.radius:
                for start, piece in _pieces(row):
                    self._with_piece[piece].append((row, start))
        self._lengths = sorted({len(piece) for piece in self._with_piece})

    def nearest(self, text: Input, original: Input | None) -> str | None:
        """The id of the row that ``text`` equals, but for case, white space and punctuation, or else is nearest to;
        None where it is near to none.

        A row that ``original``, the training text behind ``text``, is as near to does not count: the data itself put
        that text into the training set. None: there is no such text.
        """
        folded, behind = _folded(text), None if original is None else _folded(original)
        if (equal := self._equal.get(folded)) is not None and folded != behind:
            return equal
        words, words_behind = _words(text), () if original is None else _words(original)
        nearest: tuple[int, str] | None = None
        for row in self._sharing(words):
            distance = _distance(words, row.words, row.radius)
            if distance <= row.radius and distance < _distance(words_behind, row.words, row.radius):
                nearest = min(nearest or (distance, row.id), (distance, row.id))
        return nearest[1] if nearest else None

    def _sharing(self, words: Words) -> Iterator[_Row]:
        """Rows that have a piece in common with the words, at nearly the same place, each once."""
        seen: set[str] = set()
        for length in self._lengths:
            for place in range(len(words) - length + 1):
                for row, start in self._with_piece.get(words[place : place + length], ()):
                    near = abs(place - start) <= row.radius and abs(len(words) - len(row.words)) <= row.radius
                    if near and row.id not in seen:
                        seen.add(row.id)
                        yield row


def _pieces(row: _Row) -> Iterator[tuple[int, Words]]:
    """(start, words): the row cut into one piece more than words may differ, nearly equal in length."""
    pieces = row.radius + 1
    cuts = [number * len(row.words) // pieces for number in range(pieces + 1)]
    for start, end in pairwise(cuts):
        yield start, row.words[start:end]


def _distance(words: Words, others: Words, radius: int) -> int:
    """Levenshtein distance in words; any number above ``radius`` where it is larger than that."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(words, others, score_cutoff=radius)


def _words(value: Input) -> Words:
    """A text's words without case, accents' spelling or apostrophes; a vector has none."""
    if not isinstance(value, str):
        return ()
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", value).casefold().translate(_APOSTROPHES)))


def _folded(value: Input) -> Input:
    """What equal inputs have in common: a text's words or, where it has none, its signs; a vector itself."""
    if not isinstance(value, str):
        return value
    return " ".join(_words(value)) or "".join(value.split())
