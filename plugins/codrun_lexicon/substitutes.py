"""Words that may replace another: leaning towards the target, of the same part of speech, near in meaning, and fitting
their neighbours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.api import TeacherView
from codrun_lexicon.grammar import CLOSED, fits, is_adverb
from codrun_lexicon.opposites import Kind, Opposites
from codrun_lexicon.text import Sentence
from codrun_lexicon.usage import Usage
from codrun_lexicon.valence import Leaning

ALIKE = 0.55
"""From this :meth:`Usage.alike` on, two words count as one part of speech."""
NEARNESS_WEIGHT = 6.0
"""How much nearness in meaning (0 to 1) counts against the fluency, a log-probability."""
FIRST_LOOK = 40
"""Number of words, the most fluent, that are compared in meaning."""
PREFIXES = ("un", "in", "im", "dis")
_NOUN = re.compile(r".+(ness|ment|tion|sion|ity|ism|ance|ence|ship|dom)")
_ADJECTIVE = re.compile(r".+(ful|ous|ive|less|able|ible|ic|ical|ish|some)")


@dataclass(frozen=True)
class Substitute:
    """A word for a place. ``heard``: it occurs next to its new neighbours in the pool. ``fits``: it is of the part
    of speech that the place needs."""

    word: str
    heard: bool
    fits: bool


class Substitutes:
    """Finds substitutes; caches typical words, vectors and adjectives."""

    def __init__(self, listed: Opposites, leaning: Leaning, usage: Usage, teacher: TeacherView, most: int) -> None:
        self._listed, self._leaning, self._usage, self._teacher, self._most = listed, leaning, usage, teacher, most
        self._typical: dict[tuple[int, int], list[str]] = {}
        self._vectors: dict[str, tuple[float, ...]] = {}
        self._adjectives: dict[tuple[str, int], list[Substitute]] = {}

    def of(self, sentence: Sentence, place: int, label: int, target: int) -> list[Substitute]:
        """At most ``most`` that fit, the best first, then the best two that do not."""
        word = sentence.lower(place)
        left, right = sentence.lower(place - 1), sentence.lower(place + 1)
        spelled = self._listed.kinds(word)
        kinds = {kind for kind in spelled if fits(sentence, place, kind, spelled, self._listed)}
        leaning = self._leaning.towards(word, label, target)
        if word in CLOSED or leaning > 0 or (spelled and not kinds) or sentence.glued(place, place):
            return []
        direction = self._leaning.direction(label, target)
        fitting: dict[str, None] = {}
        if direction:
            for kind in sorted(kinds, key=lambda one: (one.part, one.form)):
                fitting.update(dict.fromkeys(self._listed.words(kind, direction)))
        typical = self._typical_words(label, target)
        leans = leaning < 0 or not direction
        others = [other for other in typical if other != word and other not in fitting]
        if leans:
            fitting.update((other, None) for other in others if self._same_part(word, other, kinds))
        chosen = self._best(word, left, right, [other for other in fitting if self._usage.count(other) > 1])
        odd = [other for other in others if other not in fitting][:FIRST_LOOK]
        return [self._judged(left, other, right, True) for other in chosen[: self._most]] + [
            self._judged(left, other, right, False) for other in self._best(word, left, right, odd)[:2]
        ]

    def adjectives(self, noun: str, direction: int) -> list[Substitute]:
        """Listed adjectives that could describe a noun, the likeliest first."""
        if (noun, direction) not in self._adjectives:
            listed = [
                word
                for word in self._listed.words(Kind("adjective"), direction)
                if self._usage.count(word) > 2
                and not word.endswith(("est", "er"))
                and word not in {"best", "worst", "pretty"}
            ]
            listed.sort(key=lambda word: (-self._usage.fluency("a", word, noun), word))
            self._adjectives[noun, direction] = [
                Substitute(word, self._usage.beside(word, noun) > 0, True) for word in listed[: self._most]
            ]
        return self._adjectives[noun, direction]

    def by_prefix(self, word: str, label: int, target: int) -> list[str]:
        """``unclear`` for ``clear`` or the reverse, where both are in the pool and the change leads to ``target``."""
        direction = self._leaning.direction(label, target)
        if direction > 0:
            others = [word.removeprefix(prefix) for prefix in PREFIXES if word.startswith(prefix)]
        else:
            others = [f"{prefix}{word}" for prefix in PREFIXES]
        return [
            other
            for other in others
            if len(other) > 3
            and self._usage.alike(word, other) >= ALIKE
            and self._usage.count(other) > 1
            and self._leaning.towards(other, label, target) >= 0
        ]

    def _judged(self, left: str, word: str, right: str, fitting: bool) -> Substitute:
        before, after = self._usage.beside(left, word), self._usage.beside(word, right)
        return Substitute(word, heard=before > 0 and after > 0, fits=fitting)

    def _best(self, word: str, left: str, right: str, candidates: Sequence[str]) -> list[str]:
        """Candidates by fluency between the neighbours and nearness to the word."""
        fluency = {other: self._usage.fluency(left, other, right) for other in candidates}
        looked_at = sorted(candidates, key=lambda other: (-fluency[other], other))[:FIRST_LOOK]
        nearness = self._nearness(word, looked_at)
        return sorted(looked_at, key=lambda other: (-fluency[other] - NEARNESS_WEIGHT * nearness[other], other))

    def _nearness(self, word: str, others: Sequence[str]) -> dict[str, float]:
        new = [each for each in (word, *others) if each not in self._vectors]
        self._vectors.update(zip(new, self._teacher.similarity(new), strict=True))
        here = self._vectors[word]
        return {other: sum(a * b for a, b in zip(here, self._vectors[other], strict=False)) for other in others}

    def _typical_words(self, label: int, target: int) -> list[str]:
        if (label, target) not in self._typical:
            self._typical[label, target] = self._leaning.typical(label, target)
        return self._typical[label, target]

    def _same_part(self, word: str, other: str, kinds: set[Kind]) -> bool:
        """Whether ``other`` is used as ``word`` is, by the list, its ending and the neighbours of both."""
        listed = self._listed.kinds(other)
        if listed and kinds:
            return bool(listed & kinds)
        parts = [_part_by_ending(each) for each in (word, other)]
        if None not in parts and parts[0] != parts[1]:
            return False
        return _same_ending(word, other) and self._usage.alike(word, other) >= ALIKE


def _part_by_ending(word: str) -> str | None:
    if is_adverb(word):
        return "adverb"
    if _NOUN.fullmatch(word):
        return "noun"
    return "adjective" if _ADJECTIVE.fullmatch(word) else None


def _same_ending(one: str, other: str) -> bool:
    """Inflections must agree: both in -ing, both in -ed, both in -s, or none."""
    return all(one.endswith(ending) == other.endswith(ending) for ending in ("ing", "ed", "s"))
