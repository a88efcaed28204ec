"""Omits words at random, the same ones in every run.

The random deletion of EDA (Wei and Zou, 2019, arXiv 1901.11196), which omits each word with a given probability; here a
given share of the words goes, whatever the text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from cod_runner.api import BuildContext, DataError, Input, Proposal, Request, TeacherView
from codrun_word_dropout.plugin import WordDropoutOptions


class WordDropout:
    """Proposes one copy per round. Which words are omitted depends only on the text and the round."""

    def __init__(self, options: WordDropoutOptions, context: BuildContext) -> None:
        self._share = options.share
        self.rounds = options.rounds

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """The text of each request without some of its words; nothing for a text of one word."""
        return [self._copies(request.input, request.round) for request in requests]

    def _copies(self, text: Input, number: int) -> list[Proposal]:
        if not isinstance(text, str):
            raise DataError("`word_dropout` omits words, but the inputs of this data set are not texts")
        words = text.split()
        if len(words) < 2:
            return []
        drawn = random.Random(f"word dropout {number} {text}")
        gone = set(drawn.sample(range(len(words)), min(len(words) - 1, max(1, round(self._share * len(words))))))
        return [Proposal(" ".join(word for place, word in enumerate(words) if place not in gone))]
