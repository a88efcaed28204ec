"""The generator ``lexicon``: opposites, negations and swaps, combined by a beam search that the teacher guides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator as Steps
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cod_runner.api import Attribution, BuildContext, CodrunError, Proposal, Request, TeacherView
from codrun_lexicon.opposites import Opposites
from codrun_lexicon.options import PARTNERS, LexiconOptions
from codrun_lexicon.own_words import own_words
from codrun_lexicon.readings import Readings, drawn_by_content, words_of
from codrun_lexicon.single_edits import TIERS, EditMaker
from codrun_lexicon.substitutes import Substitutes
from codrun_lexicon.text import Edit, applied
from codrun_lexicon.usage import Usage
from codrun_lexicon.valence import Leaning

MANY_EDITS = 3
"""From this many edits on, a text reads as rewritten, which costs a tier."""
NEAR_MISSES = 2
"""Best texts that do not flip, proposed after the flips, or alone if nothing flips."""

Scores = list[tuple[float, ...]]
Search = Steps[list[str], Scores, list[Proposal]]


@dataclass(frozen=True)
class Candidate:
    """A text that the teacher has scored."""

    edits: tuple[Edit, ...]
    text: str
    margin: float
    """p(target) minus the largest other probability; above 0 the teacher predicts the target."""

    @property
    def tier(self) -> int:
        return max(edit.tier for edit in self.edits) + (len(self.edits) >= MANY_EDITS)


class Lexicon:
    """Implements :class:`cod_runner.api.Generator`. Each request has its own search; the teacher scores the
    candidates of all of them together. The pool's labels are never read."""

    rounds = 1

    def __init__(self, options: LexiconOptions, context: BuildContext) -> None:
        self._options = options
        self._labels = context.labels
        self._own = own_words(options.words, context.labels)
        self._listed = Opposites.packaged(self._own.opposites)
        texts = [str(example.input) for example in (*context.pool, *context.unlabelled)]
        self._in_texts = Counter(word for text in texts for word in words_of(text))
        self._usage = Usage(texts)
        self._sample = drawn_by_content(texts, options.readings)
        self._readings: Readings | None = None

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """The flips found, natural ones first, then the nearest misses."""
        texts = [_text(request) for request in requests]
        leaning = Leaning(self._labels, self._in_texts, self._read_by(teacher), self._listed, self._own.by_label)
        attributions: Sequence[Sequence[Attribution]] = [()] * len(texts)
        if self._options.asks_for_attribution():
            attributions = teacher.attribution(texts, [request.label for request in requests])
        substitutes = Substitutes(self._listed, leaning, self._usage, teacher, self._options.substitutes)
        maker = EditMaker(self._listed, leaning, substitutes, self._options.telling_words, teacher.labels)
        searches = [
            self._search(request, maker, attribution)
            for request, attribution in zip(requests, attributions, strict=True)
        ]
        return _together(requests, searches, teacher)

    def _read_by(self, teacher: TeacherView) -> Readings:
        """What this teacher says of the sample; it is asked at most once."""
        if self._readings is None or self._readings.teacher is not teacher:
            self._readings = Readings(self._sample, teacher)
        return self._readings

    def _search(self, request: Request, maker: EditMaker, attribution: Sequence[Attribution]) -> Search:
        """Search for one request: yield texts for the teacher to score, be sent its probabilities, return proposals."""
        text = _text(request)
        singles = maker.edits(request, attribution)
        read: dict[str, Candidate] = {}
        most = self._options.singles
        first_tiers = [(edit,) for tier in TIERS[:2] for edit in singles[tier][:most]]
        yield from self._read(first_tiers, text, request, read)
        for tier in TIERS:
            if tier >= 2:
                yield from self._read([(edit,) for edit in singles[tier][:most]], text, request, read)
            for size in range(1, self._options.max_edits + 1):
                if size > 1:
                    yield from self._read(self._combinations(read.values(), tier, size), text, request, read)
                flips = [one for one in read.values() if one.margin > 0 and one.tier <= tier]
                if len(flips) >= self._options.flips:
                    return self._proposals(flips, read.values())
        return self._proposals([one for one in read.values() if one.margin > 0], read.values())

    def _read(
        self, combinations: Iterable[tuple[Edit, ...]], text: str, request: Request, read: dict[str, Candidate]
    ) -> Steps[list[str], Scores, None]:
        """Have the teacher score and record new texts; of two ways to one text, the first, more natural one counts."""
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
        """The best candidates with one edit fewer, each extended by the single edits that moved the teacher most."""
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
        most = max(self._options.candidates, self._options.flips)
        proposed = [*chosen[:most], *misses[:NEAR_MISSES]]
        return [Proposal(one.text, tier=one.tier) for one in proposed]


def _at_different_places(edits: Sequence[Edit]) -> list[Edit]:
    """The first edit at each place, then the second, so that the partners do not all change one word."""
    seen: dict[int, int] = {}
    order: list[tuple[int, int, Edit]] = []
    for edit in edits:
        start = edit.changes[-1].start
        order.append((seen.get(start, 0), len(order), edit))
        seen[start] = seen.get(start, 0) + 1
    return [edit for _, _, edit in sorted(order, key=lambda one: one[:2])]


def _together(requests: Sequence[Request], searches: Sequence[Search], teacher: TeacherView) -> list[list[Proposal]]:
    """Run all searches in step: in each round the teacher scores the texts that all of them have yielded."""
    proposals: list[list[Proposal]] = [[] for _ in searches]
    waiting: dict[int, list[str]] = {}

    def advance(number: int, scores: Scores | None) -> None:
        try:
            waiting[number] = next(searches[number]) if scores is None else searches[number].send(scores)
        except StopIteration as finished:
            proposals[number] = finished.value

    for number in range(len(searches)):
        advance(number, None)
    while waiting:
        asked, waiting = waiting, {}
        asked_for = [requests[number] for number, texts in asked.items() for _ in texts]
        scores = iter(teacher.score([text for texts in asked.values() for text in texts], asked_for))
        for number, texts in asked.items():
            advance(number, [next(scores) for _ in texts])
    return proposals


def _text(request: Request) -> str:
    if not isinstance(request.input, str):
        raise CodrunError("the generator `lexicon` edits texts; this data set holds vectors, which `gradient` moves")
    if request.target == request.label:
        raise CodrunError(
            "the generator `lexicon` looks for words of another class, so it cannot make texts that keep theirs; give "
            "the arm `keep: flip`, or `add: misses`, or another generator, such as `word_dropout`"
        )
    return request.input
