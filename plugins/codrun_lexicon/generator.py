"""The generator ``lexicon``: opposites, denials and swaps, combined by a beam that the teacher steers."""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cod_runner.api import Attribution, BuildContext, CodrunError, Proposal, Request, TeacherView
from codrun_lexicon.opposites import Opposites
from codrun_lexicon.options import LexiconOptions
from codrun_lexicon.own_words import read_own_words
from codrun_lexicon.single_edits import TIERS, EditMaker
from codrun_lexicon.substitutes import Substitutes
from codrun_lexicon.text import Edit, applied
from codrun_lexicon.usage import Usage
from codrun_lexicon.valence import Leaning

SINGLES_A_TIER = 24
"""Single edits that the teacher reads at first, of each tier."""
PARTNERS = 6
"""Single edits that a combination may be extended by: those that moved the teacher most."""
MANY_EDITS = 3
"""From so many swaps on a text reads as rewritten, which costs a tier."""
NEAR_MISSES = 2
"""Shown beside the flips, or alone where nothing flips: what the search came to."""

Scores = list[tuple[float, ...]]
Search = Steps[list[str], Scores, list[Proposal]]


@dataclass(frozen=True)
class Candidate:
    """A text that the teacher has read."""

    edits: tuple[Edit, ...]
    text: str
    margin: float
    """p(target) less the likeliest other class; above 0 the teacher reads the target."""

    @property
    def tier(self) -> int:
        return max(edit.tier for edit in self.edits) + (len(self.edits) >= MANY_EDITS)


class Lexicon:
    """Implements :class:`cod_runner.api.Generator`. Every request is searched on its own; the teacher reads the
    candidates of all of them together."""

    rounds = 1

    def __init__(self, options: LexiconOptions, context: BuildContext) -> None:
        self._options = options
        own = read_own_words(options.words, context.labels)
        self._listed = Opposites.packaged(own.opposites)
        self._leaning = Leaning(context.labels, context.pool, self._listed, own.by_label)
        self._usage = Usage(context.pool)

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """The flips that were found, natural ones first, and the nearest misses."""
        texts = [_text(request) for request in requests]
        attributions = teacher.attribution(texts, [request.label for request in requests])
        substitutes = Substitutes(self._listed, self._leaning, self._usage, teacher, self._options.substitutes)
        maker = EditMaker(self._listed, self._leaning, substitutes, self._options.telling_words, teacher.labels)
        searches = [
            self._search(request, maker, attribution)
            for request, attribution in zip(requests, attributions, strict=True)
        ]
        return _together(searches, teacher)

    def _search(self, request: Request, maker: EditMaker, attribution: Sequence[Attribution]) -> Search:
        """One request: yields texts for the teacher to read, is sent its probabilities, returns proposals."""
        text = _text(request)
        singles = maker.edits(request, attribution)
        read: dict[str, Candidate] = {}
        first_tiers = [(edit,) for tier in TIERS[:2] for edit in singles[tier][:SINGLES_A_TIER]]
        yield from self._read(first_tiers, text, request, read)
        for tier in TIERS:
            if tier >= 2:
                yield from self._read([(edit,) for edit in singles[tier][:SINGLES_A_TIER]], text, request, read)
            for size in range(1, self._options.max_edits + 1):
                if size > 1:
                    yield from self._read(self._combinations(read.values(), tier, size), text, request, read)
                flips = [one for one in read.values() if one.margin > 0 and one.tier <= tier]
                if flips:
                    return self._proposals(flips, read.values())
        return self._proposals([one for one in read.values() if one.margin > 0], read.values())

    def _read(
        self, combinations: Iterable[tuple[Edit, ...]], text: str, request: Request, read: dict[str, Candidate]
    ) -> Steps[list[str], Scores, None]:
        """Have the teacher read what is new, and note it; of two ways to one text the more natural counts."""
        new: dict[str, tuple[Edit, ...]] = {}
        for edits in combinations:
            changed = applied(text, edits)
            if changed != text and changed not in read:
                new.setdefault(changed, edits)
        if not new:
            return
        scores = yield list(new)
        for (changed, edits), probabilities in zip(new.items(), scores, strict=True):
            others = [p for label, p in enumerate(probabilities) if label != request.target]
            read[changed] = Candidate(edits, changed, probabilities[request.target] - max(others))

    def _combinations(self, read: Iterable[Candidate], tier: int, size: int) -> list[tuple[Edit, ...]]:
        """The best candidates of one edit less, each with the edits that moved the teacher most by themselves."""
        ranked = sorted(
            (one for one in read if max(edit.tier for edit in one.edits) <= tier),
            key=lambda one: (-one.margin, one.text),
        )
        partners = [one.edits[0] for one in ranked if len(one.edits) == 1]
        beam = [one for one in ranked if len(one.edits) == size - 1][: self._options.beam]
        found: dict[frozenset[Edit], tuple[Edit, ...]] = {}
        for one in beam:
            free = [edit for edit in partners if not any(edit.clashes(other) for other in one.edits)]
            for edit in _at_different_places(free)[:PARTNERS]:
                found.setdefault(frozenset((*one.edits, edit)), (*one.edits, edit))
        return list(found.values())

    def _proposals(self, flips: Sequence[Candidate], read: Iterable[Candidate]) -> list[Proposal]:
        chosen = sorted(flips, key=lambda one: (one.tier, len(one.edits), -one.margin, one.text))
        misses = sorted((one for one in read if one.margin <= 0), key=lambda one: (-one.margin, one.text))
        kept = [*chosen[: self._options.candidates], *misses[:NEAR_MISSES]]
        return [Proposal(one.text, tier=one.tier) for one in kept]


def _at_different_places(edits: Sequence[Edit]) -> list[Edit]:
    """The first edit at each place, then the second, so that partners are not all one word's."""
    seen: dict[int, int] = {}
    order: list[tuple[int, int, Edit]] = []
    for edit in edits:
        start = edit.changes[-1].start
        order.append((seen.get(start, 0), len(order), edit))
        seen[start] = seen.get(start, 0) + 1
    return [edit for _, _, edit in sorted(order, key=lambda one: one[:2])]


def _together(searches: Sequence[Search], teacher: TeacherView) -> list[list[Proposal]]:
    """Run all searches side by side: in each round the teacher reads what every one of them wants read."""
    proposals: list[list[Proposal]] = [[] for _ in searches]
    waiting: dict[int, list[str]] = {}

    def go_on(number: int, scores: Scores | None) -> None:
        try:
            waiting[number] = next(searches[number]) if scores is None else searches[number].send(scores)
        except StopIteration as finished:
            proposals[number] = finished.value

    for number in range(len(searches)):
        go_on(number, None)
    while waiting:
        asked, waiting = waiting, {}
        scores = iter(teacher.score([text for texts in asked.values() for text in texts]))
        for number, texts in asked.items():
            go_on(number, [next(scores) for _ in texts])
    return proposals


def _text(request: Request) -> str:
    if not isinstance(request.input, str):
        raise CodrunError("the generator `lexicon` edits texts, and the data set holds vectors; `gradient` moves those")
    return request.input
