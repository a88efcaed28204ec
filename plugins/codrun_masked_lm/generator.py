"""The generator `masked_lm`: binary search over the masked share, beam search over the infillings.

After MiCE (Ross et al., 2021, arXiv 2012.13985): words are ranked by the teacher's gradient, and the first of them are
masked together and infilled; if the teacher flips, less is masked, otherwise more. MiCE fine-tunes its editor on the
task and conditions it on the target label; here the editor is any masked language model, unchanged, and the beam ranks
infillings by the teacher's probability of the target label and the model's own probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from cod_runner.api import BuildContext, CodrunError, Proposal, Request, TeacherView
from codrun_masked_lm.augmenting import MaskedLmAugmenter
from codrun_masked_lm.gaps import Gaps, Infilling, cased
from codrun_masked_lm.infiller import WORD, Filling, Infiller
from codrun_masked_lm.plugin import MaskedLmOptions

SMALLEST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class _Tried:
    """What is known of one complete text."""

    edits: int
    objective: float
    flips: bool


@dataclass
class _Search:
    """The search for one request."""

    request: Request
    gaps: Gaps
    """The text, with the words that are masked at present."""
    ranked: list[tuple[int, int]]
    """(start, end) of the text's words, those that speak most for the current class first."""
    low: float
    high: float
    """The masked share is searched between ``low`` and ``high``."""
    beam: list[Infilling] = field(default_factory=list)
    tried: dict[str, _Tried] = field(default_factory=dict)


def build(options: MaskedLmOptions, context: BuildContext) -> MaskedLmGenerator | MaskedLmAugmenter:
    """The search that the teacher guides, or the draws that it does not."""
    return MaskedLmGenerator(options, context) if options.guided else MaskedLmAugmenter(options, context)


class MaskedLmGenerator:
    """Kind ``generator``. One round; of the texts it tried it proposes flips first, fewest edits first."""

    rounds = 1

    def __init__(self, options: MaskedLmOptions, context: BuildContext) -> None:
        self._options = options
        self._infiller = Infiller(options, context)

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """Up to ``candidates`` texts per request; the nearest misses if nothing flipped."""
        searches = self._searches(requests, teacher)
        for _ in range(self._options.search_steps):
            moving = [search for search in searches if self._mask(search)]
            deepest = max((len(search.gaps.spans) for search in moving), default=0)
            for depth in range(deepest):
                self._fill_one_gap([search for search in moving if depth < len(search.gaps.spans)], depth, teacher)
            for search in searches:
                self._halve(search)
        return [self._proposals(search) for search in searches]

    def _searches(self, requests: Sequence[Request], teacher: TeacherView) -> list[_Search]:
        attributions = teacher.attribution([request.input for request in requests], [each.label for each in requests])
        searches = []
        for request, parts in zip(requests, attributions, strict=True):
            if not isinstance(request.input, str):
                raise CodrunError("the generator `masked_lm` edits texts; this data set holds vectors")
            text = request.input
            words = [part for part in parts if WORD.fullmatch(text[part.start : part.end])]
            words.sort(key=lambda part: (-part.score, part.start))
            ranked = [(part.start, part.end) for part in words]
            searches.append(_Search(request, Gaps(text), ranked, 0.0, self._options.max_fraction))
        return searches

    def _mask(self, search: _Search) -> bool:
        """Mask the middle of the remaining range of shares; False if just that is masked already."""
        wanted = math.ceil((search.low + search.high) / 2 * len(search.ranked))
        if wanted == len(search.gaps.spans):
            return False
        search.gaps.spans, search.beam = sorted(search.ranked[:wanted]), [Infilling()]
        return True

    def _fill_one_gap(self, searches: Sequence[_Search], depth: int, teacher: TeacherView) -> None:
        """Extend every beam by one gap, the ``depth``-th by attribution: by likely words and by the original one."""
        asked = [
            (row, infilling, search.gaps.spans.index(search.ranked[depth]))
            for row, search in enumerate(searches)
            for infilling in search.beam
        ]
        shown = [searches[row].gaps.shown(infilling, self._infiller.mask, gap) for row, infilling, gap in asked]
        filled = self._infiller.fill([text for text, _ in shown], [number for _, number in shown])
        extended = [
            (row, further)
            for (row, infilling, gap), fillings in zip(asked, filled, strict=True)
            for further in _extended(infilling, gap, searches[row].gaps.own_word(gap), fillings)
        ]
        texts = [searches[row].gaps.written(infilling) for row, infilling in extended]
        judged: list[list[tuple[float, str, Infilling]]] = [[] for _ in searches]
        scored = teacher.score(texts, asked_for=[searches[row].request for row, _ in extended])
        for (row, infilling), text, probabilities in zip(extended, texts, scored, strict=True):
            tried = self._judged(searches[row], infilling, probabilities)
            searches[row].tried[text] = tried
            judged[row].append((-tried.objective, text, infilling))
        for search, of_search in zip(searches, judged, strict=True):
            best = sorted(of_search, key=lambda one: one[:2])[: self._options.beam]
            search.beam = [infilling for _, _, infilling in best]

    def _judged(self, search: _Search, infilling: Infilling, probabilities: tuple[float, ...]) -> _Tried:
        target = search.request.target
        wanted = math.log(max(probabilities[target], SMALLEST_PROBABILITY))
        return _Tried(
            edits=sum(word != search.gaps.own_word(gap) for gap, word in infilling.words),
            objective=wanted + self._options.fluency * infilling.log_probability,
            flips=probabilities.index(max(probabilities)) == target,
        )

    def _halve(self, search: _Search) -> None:
        middle = (search.low + search.high) / 2
        if any(tried.flips for tried in search.tried.values()):
            search.high = middle
        else:
            search.low = middle

    def _proposals(self, search: _Search) -> list[Proposal]:
        def order(one: tuple[str, _Tried]) -> tuple[bool, int, float, str]:
            text, tried = one
            return not tried.flips, tried.edits if tried.flips else 0, -tried.objective, text

        changed = [(text, tried) for text, tried in search.tried.items() if text != search.gaps.text]
        return [Proposal(text) for text, _ in sorted(changed, key=order)[: self._options.candidates]]


def _extended(infilling: Infilling, gap: int, own: str, fillings: Sequence[Filling]) -> list[Infilling]:
    """The original word, at no cost, and every other word, at its log probability."""
    others = [filling for filling in fillings if filling.word.casefold() != own.casefold()]
    return [
        Infilling((*infilling.words, (gap, own)), infilling.log_probability),
        *(
            Infilling(
                (*infilling.words, (gap, cased(filling.word, own))),
                infilling.log_probability + filling.log_probability,
            )
            for filling in others
        ),
    ]
