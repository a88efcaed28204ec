"""The generator `masked_lm` with `guided: false`: random words masked and infilled, without a question to the teacher.

After SSMBA (Ng et al., 2020, arXiv 2009.10195), which corrupts a text by masking a share of its tokens and lets a
masked language model reconstruct it by sampling. Here whole words are masked, none is left or replaced at random, they
are infilled one after the other from left to right, and never by the word that was there, so that the share says how
much is new.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence

from cod_runner.api import BuildContext, CodrunError, Proposal, Request, TeacherView
from codrun_masked_lm.gaps import Gaps, Infilling, cased
from codrun_masked_lm.infiller import WORD, Filling, Infiller
from codrun_masked_lm.plugin import MaskedLmOptions

WHOLE_WORD = re.compile(rf"(?<!\w){WORD.pattern}(?!\w)")


class MaskedLmAugmenter:
    """Kind ``generator``. Proposes one text per round; what is drawn depends only on the text and the round."""

    def __init__(self, options: MaskedLmOptions, context: BuildContext) -> None:
        self._share = options.share
        self.rounds = options.rounds
        self._infiller = Infiller(options, context)

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """The text of each request with some of its words exchanged; nothing for a text without words."""
        drawn = [self._masked(request) for request in requests]
        infillings = [Infilling() for _ in requests]
        for gap in range(max((len(gaps.spans) for gaps in drawn), default=0)):
            rows = [row for row, gaps in enumerate(drawn) if gap < len(gaps.spans)]
            shown = [drawn[row].shown(infillings[row], self._infiller.mask, gap) for row in rows]
            filled = self._infiller.fill([text for text, _ in shown], [number for _, number in shown])
            for row, fillings in zip(rows, filled, strict=True):
                own, request = drawn[row].own_word(gap), requests[row]
                dice = random.Random(f"masked lm {request.round} {gap} {request.input}")
                infillings[row] = Infilling((*infillings[row].words, (gap, _drawn(fillings, own, dice))))
        return [
            [Proposal(gaps.written(infilling))] if gaps.spans else []
            for gaps, infilling in zip(drawn, infillings, strict=True)
        ]

    def _masked(self, request: Request) -> Gaps:
        """A share of the text's words, at least one of them."""
        if not isinstance(request.input, str):
            raise CodrunError("the generator `masked_lm` edits texts; this data set holds vectors")
        spans = [found.span() for found in WHOLE_WORD.finditer(request.input)]
        count = min(len(spans), max(1, round(self._share * len(spans))))
        dice = random.Random(f"masked lm {request.round} {request.input}")
        return Gaps(request.input, sorted(dice.sample(spans, count)))


def _drawn(fillings: Sequence[Filling], own: str, dice: random.Random) -> str:
    """A word by the model's probabilities, never ``own``; that one where the model sees no gap or knows no other."""
    others = [filling for filling in fillings if filling.word.casefold() != own.casefold()]
    if not others:
        return own
    best = max(filling.log_probability for filling in others)
    weights = [math.exp(filling.log_probability - best) for filling in others]
    return cased(dice.choices([filling.word for filling in others], weights)[0], own)
