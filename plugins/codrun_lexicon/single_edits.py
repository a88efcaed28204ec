"""Everything that one edit can do to a text, natural edits in lower tiers than odd ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cod_runner.api import Attribution, Request
from codrun_lexicon.grammar import (
    BE,
    BE_CONTRACTED,
    CLOSED,
    DETERMINERS,
    INTRANSITIVE,
    JOINING,
    NEGATIONS,
    OBJECTS,
    fits,
    is_adverb,
)
from codrun_lexicon.negation import affirmations, negations, with_and_without
from codrun_lexicon.opposites import BLAME, PRAISE, Kind, Opposite, Opposites
from codrun_lexicon.reach import Reach, Told
from codrun_lexicon.substitutes import Substitutes
from codrun_lexicon.text import Change, Edit, Sentence, delete, insert_before, swap
from codrun_lexicon.valence import Leaning

OPPOSITE, NATURAL, PLAUSIBLE, CUT, ODD = range(5)
"""Tiers: a listed opposite; a negation, or a swap that occurs in the pool; another swap within one part of speech;
words or clauses deleted or added; anything else."""
TIERS = (OPPOSITE, NATURAL, PLAUSIBLE, CUT, ODD)
FEWEST_WORDS_LEFT = 4
"""Fewest words to which a text is cut."""
CLAUSES = {
    PRAISE: ("it works", "it works beautifully", "it is wonderful"),
    BLAME: ("it never works", "it is dull", "it is a disappointment"),
}
"""Clauses that fit any text; the teacher chooses."""
UNCOUNTED = frozenset("lot bit few little couple while".split())


@dataclass(frozen=True)
class EditMaker:
    """Makes the single edits of one request."""

    listed: Opposites
    leaning: Leaning
    substitutes: Substitutes
    words: int
    """How many of the words that speak most for the label are swapped for lexicon words or deleted."""
    label_names: tuple[str, ...] = ()
    """Never put into a text: a counterfactual that names its class is rejected."""

    def edits(self, request: Request, attribution: Sequence[Attribution]) -> dict[int, list[Edit]]:
        """Edits by tier, the most promising first, without duplicates."""
        reach = Reach.of(str(request.input), attribution)
        sentence = Sentence.of(reach.text)
        telling = self._telling(sentence, request, attribution)
        found: dict[int, dict[Edit, None]] = {tier: {} for tier in TIERS}
        leaks = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE) for name in self.label_names]
        leaks = [leak for leak in leaks if not leak.search(sentence.text)]
        for edit in self._all(sentence, request, telling):
            leaked = any(leak.search(change.new) for leak in leaks for change in edit.changes)
            if not leaked and all(change.end <= reach.last for change in edit.changes):
                found[edit.tier].setdefault(edit)
        told = Told(attribution)
        return {tier: sorted(edits, key=lambda edit: -told.by(edit)) for tier, edits in found.items()}

    def _all(self, sentence: Sentence, request: Request, telling: Sequence[int]) -> Iterator[Edit]:
        direction = self.leaning.direction(request.label, request.target)
        if direction:
            yield from self._opposites(sentence, -direction)
            if direction == BLAME:
                yield from negations(sentence, self.listed, NATURAL)
            else:
                yield from affirmations(sentence, NATURAL)
                yield from self._denied_blame(sentence)
            yield from with_and_without(sentence, direction == BLAME, NATURAL)
            yield from self._described(sentence, direction)
            yield from self._prefixes(sentence, request)
            yield from _clauses_added(sentence, direction)
        else:
            yield from negations(sentence, self.listed, PLAUSIBLE)
            yield from affirmations(sentence, PLAUSIBLE)
        yield from self._swaps(sentence, request, telling)
        yield from self._cuts(sentence, telling)

    def _telling(self, sentence: Sentence, request: Request, attribution: Sequence[Attribution]) -> list[int]:
        """Places of the words that speak most for the label, by the teacher's attribution."""
        score = {(part.start, part.end): part.score for part in attribution}
        places = [
            place
            for place, token in enumerate(sentence.tokens)
            if token.is_word and score.get((token.start, token.end), 0.0) > 0 and len(token.text) > 2
        ]
        places.sort(key=lambda place: -score[sentence.tokens[place].start, sentence.tokens[place].end])
        return places[: self.words]

    def _opposites(self, sentence: Sentence, side: int) -> Iterator[Edit]:
        """Listed opposites of words on ``side`` (praise or blame); of two phrases at one place, the longer."""
        place = 0
        while place < len(sentence.tokens):
            length, partners = self._partners(sentence, place)
            left = sentence.lower(place - 1)
            # A negated word already means its opposite: replacing it would flip the sense the wrong way.
            if left not in {"not", "n't", "never", "no", "nor"} and not left.endswith("n't"):
                for one in partners:
                    right = sentence.lower(place + length)
                    if one.word == "less" and not right[:1].isalnum():
                        continue
                    takes_object = one.kind.part == "verb" and right in OBJECTS | DETERMINERS
                    if one.side == side and not (takes_object and one.word in INTRANSITIVE):
                        yield swap(sentence, place, place + length - 1, one.word, OPPOSITE)
            place += length

    def _partners(self, sentence: Sentence, place: int) -> tuple[int, list[Opposite]]:
        """(tokens, opposites) of the longest listed phrase that begins here, if it is used as the list means it."""
        for length in range(min(self.listed.longest_phrase, len(sentence.tokens) - place), 0, -1):
            last = place + length - 1
            partners = self.listed.of(" ".join(token.lower for token in sentence.tokens[place : last + 1]))
            if not partners or (sentence.glued(place, last) and sentence.lower(place) != "well"):
                continue
            if length == 1:
                kinds = {one.kind for one in partners}
                partners = [one for one in partners if fits(sentence, place, one.kind, kinds, self.listed)]
            return length, partners
        return 1, []

    def _denied_blame(self, sentence: Sentence) -> Iterator[Edit]:
        """``is dull`` to ``is never dull``; ``a dull film`` is left alone."""
        for place in range(1, len(sentence.tokens)):
            word, left = sentence.lower(place), sentence.lower(place - 1)
            blamed = self.listed.side(word) == BLAME and any(
                kind.part in {"adjective", "verb"} and kind.form in {"base", "s"} for kind in self.listed.kinds(word)
            )
            if blamed and left in BE | BE_CONTRACTED | {"it", "that"}:
                yield insert_before(sentence, place, "never", NATURAL)

    def _described(self, sentence: Sentence, direction: int) -> Iterator[Edit]:
        """``a portrait`` to ``a bland portrait``: an adjective where nothing describes the noun yet."""
        for place in range(1, len(sentence.tokens)):
            word, left, right = sentence.lower(place), sentence.lower(place - 1), sentence.lower(place + 1)
            plain = word.isalpha() and len(word) > 2 and not is_adverb(word) and word not in UNCOUNTED | DETERMINERS
            if left in {"a", "an"} and plain and not self.listed.kinds(word) and right not in JOINING:
                for adjective in self.substitutes.adjectives(word, direction):
                    yield insert_before(sentence, place, adjective.word, PLAUSIBLE if not adjective.heard else NATURAL)

    def _prefixes(self, sentence: Sentence, request: Request) -> Iterator[Edit]:
        """``unclear`` to ``clear``, and back, where the pool holds both words."""
        for place, token in enumerate(sentence.tokens):
            known = token.lower in CLOSED or bool(self.listed.of(token.lower))
            if len(token.text) > 3 and not known and not sentence.glued(place, place):
                for word in self.substitutes.by_prefix(token.lower, request.label, request.target):
                    yield swap(sentence, place, place, word, OPPOSITE)

    def _swaps(self, sentence: Sentence, request: Request, telling: Sequence[int]) -> Iterator[Edit]:
        for place in telling:
            for one in self.substitutes.of(sentence, place, request.label, request.target):
                tier = ODD if not one.fits else NATURAL if one.heard else PLAUSIBLE
                yield swap(sentence, place, place, one.word, tier)

    def _cuts(self, sentence: Sentence, telling: Sequence[int]) -> Iterator[Edit]:
        yield from _clauses_cut(sentence)
        for place in telling:
            word, right = sentence.lower(place), sentence.lower(place + 1)
            adverb = is_adverb(word) or Kind("adverb") in self.listed.kinds(word)
            adjective = Kind("adjective") in self.listed.kinds(word)
            reads_well = (adverb or adjective) and right[:1].isalnum() and right not in JOINING
            if word not in NEGATIONS and not sentence.glued(place, place):
                yield delete(sentence, place, place, CUT if reads_well else ODD)


def _clauses_cut(sentence: Sentence) -> Iterator[Edit]:
    """``A , but B .`` to ``A .`` or ``B .``."""
    last = len(sentence.tokens) - 1
    ends = last if sentence.tokens and not sentence.tokens[last].is_word else last + 1
    for place in range(1, ends):
        if sentence.lower(place) not in {"but", "although", "though", "yet"}:
            continue
        comma = place - (sentence.lower(place - 1) == ",")
        if _words(sentence, range(comma)) >= FEWEST_WORDS_LEFT:
            yield delete(sentence, comma, ends - 1, CUT)
        if sentence.lower(place) in {"but", "yet"} and _words(sentence, range(place + 1, ends)) >= FEWEST_WORDS_LEFT:
            yield delete(sentence, 0, place, CUT)


def _clauses_added(sentence: Sentence, direction: int) -> Iterator[Edit]:
    """``A .`` to ``A , but it never works .``: longer than a swap, but still good English."""
    end = len(sentence.text)
    while end and (sentence.text[end - 1].isspace() or sentence.text[end - 1] in ".!…"):
        end -= 1
    if not sentence.tokens or sentence.text[end - 1 : end] in "?:;,-":
        return
    comma = " , " if re.search(r"\s[.,;!]", sentence.text) else ", "
    joining = "and" if any(token.lower == "but" for token in sentence.tokens) else "but"
    for clause in CLAUSES[direction]:
        yield Edit((Change(end, end, f"{comma}{joining} {clause}"),), CUT)


def _words(sentence: Sentence, places: Iterable[int]) -> int:
    return sum(sentence.tokens[place].is_word for place in places)
