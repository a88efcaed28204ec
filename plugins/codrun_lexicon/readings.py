"""What the teacher says of unlabelled texts of the pool: which words go with which class, in its own eyes."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

from cod_runner.api import TeacherView
from codrun_lexicon.text import lower_tokens

SMOOTHING = 0.5
SEEN_ENOUGH = 3
"""Number of texts that must hold a word before its learned leaning counts."""


def drawn_by_content(texts: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of the texts, always the same ones, whatever their order."""
    different = sorted(set(texts), key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return different[:most]


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case, each once."""
    return set(lower_tokens(text, words_alone=True))


class Readings:
    """Words counted by the class that the teacher predicts, over a sample of the pool. No gold label enters.

    The teacher is asked at the first question, for all texts at once; these are queries like any other, for no
    request in particular.
    """

    def __init__(self, texts: Sequence[str], teacher: TeacherView) -> None:
        self.teacher = teacher
        self._texts = texts
        self._counted: tuple[list[Counter[str]], list[int]] | None = None

    def towards(self, word: str, label: int, target: int) -> float:
        """Log-odds of the word in texts read as ``target`` against those read as ``label``, in standard errors; 0 if
        rare."""
        having, rows = self._counts()
        if sum(counter[word] for counter in having) < SEEN_ENOUGH or not rows[label] or not rows[target]:
            return 0.0
        there, here = having[target][word] + SMOOTHING, having[label][word] + SMOOTHING
        odds = math.log(there / (rows[target] - there + 1) / (here / (rows[label] - here + 1)))
        return odds / math.sqrt(1 / there + 1 / here)

    def _counts(self) -> tuple[list[Counter[str]], list[int]]:
        """By class: the number of texts that hold each word, and of texts."""
        if self._counted is None:
            having: list[Counter[str]] = [Counter() for _ in self.teacher.labels]
            rows = [0] * len(having)
            for text, probabilities in zip(self._texts, self.teacher.score(self._texts), strict=True):
                read_as = probabilities.index(max(probabilities))
                having[read_as].update(words_of(text))
                rows[read_as] += 1
            self._counted = having, rows
        return self._counted
