"""Which words weigh most with a teacher that has no gradients: it is asked about the text less each of its words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cod_runner.api import WORD, Attribution, Input
from cod_runner.engine.asking import LEAST

Scores = Callable[[Sequence[Input]], list[tuple[float, ...]]]


def texts_less_a_word(text: str) -> list[tuple[int, int, str]]:
    """(start, end, the text without that word) for each word, in order; a text of one word has none that can go."""
    words = list(WORD.finditer(text))
    if len(words) < 2:
        return []
    return [
        (word.start(), word.end(), " ".join(f"{text[: word.start()]} {text[word.end() :]}".split())) for word in words
    ]


def left_out(score: Scores, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
    """For each input, one :class:`Attribution` per word.

    A word's score is what the target's log-odds margin over the best other class loses without the word (Li et al.
    2016, arXiv:1612.08220). All texts are asked about together.
    """
    less = [texts_less_a_word(str(value)) for value in inputs]
    asked = list(dict.fromkeys([*inputs, *(text for each in less for _, _, text in each)]))
    said = dict(zip(asked, score(asked), strict=True))
    return [
        [
            Attribution(start, end, _margin(said[value], target) - _margin(said[text], target))
            for start, end, text in each
        ]
        for value, target, each in zip(inputs, targets, less, strict=True)
    ]


def _margin(probabilities: tuple[float, ...], target: int) -> float:
    """log p(target) - log p(best other class)."""
    other = max(p for label, p in enumerate(probabilities) if label != target)
    return math.log(max(probabilities[target], LEAST)) - math.log(max(other, LEAST))
