"""How words are used in the training pool: their neighbours, so that a swap can be chosen that reads naturally."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from codrun_lexicon.text import lower_tokens

FRAME_WORDS = 120
"""Number of the commonest words and punctuation marks; having the same ones as neighbours shows one part of speech."""
EDGE = "</s>"


class Usage:
    """Counts over the pool's texts, in lower case."""

    def __init__(self, pool: Sequence[str]) -> None:
        self._words: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        for text in pool:
            tokens = [EDGE, *lower_tokens(text), EDGE]
            self._words.update(tokens)
            self._pairs.update(pairwise(tokens))
        self._total = max(1, self._words.total())
        frame = {word: place for place, (word, _) in enumerate(self._words.most_common(FRAME_WORDS))}
        self._frames: dict[str, dict[int, float]] = {}
        for (left, right), count in self._pairs.items():
            if left in frame:
                beside = self._frames.setdefault(right, {})
                beside[frame[left]] = beside.get(frame[left], 0.0) + count
            if right in frame:
                beside = self._frames.setdefault(left, {})
                beside[FRAME_WORDS + frame[right]] = beside.get(FRAME_WORDS + frame[right], 0.0) + count

    def count(self, word: str) -> int:
        """How often a word occurs in the pool."""
        return self._words[word]

    def beside(self, left: str, right: str) -> int:
        """How often ``right`` follows ``left``; ``""`` is the edge of a text."""
        return self._pairs[left or EDGE, right or EDGE]

    def fluency(self, left: str, word: str, right: str) -> float:
        """Mean log-probability of the word between its neighbours, bigrams smoothed by single words."""
        return (self._log(left or EDGE, word) + self._log(word, right or EDGE)) / 2

    def alike(self, one: str, other: str) -> float:
        """Bhattacharyya coefficient of the neighbours of two words: near 1 for words of one part of speech, 0 for
        unseen words."""
        first, second = self._frames.get(one), self._frames.get(other)
        if not first or not second:
            return 0.0
        product = sum(math.sqrt(value * second[place]) for place, value in first.items() if place in second)
        return product / math.sqrt(sum(first.values()) * sum(second.values()))

    def _log(self, left: str, right: str) -> float:
        weight = self._words[left] / (self._words[left] + 20)
        follows = self._pairs[left, right] / self._words[left] if self._words[left] else 0.0
        alone = (self._words[right] + 0.5) / (self._total + 0.5)
        return math.log(weight * follows + (1 - weight) * alone)
