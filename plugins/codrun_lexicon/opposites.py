"""The handwritten list of opposites: words of praise and of blame, in the same part of speech and form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from codrun_lexicon.inflection import comparative_base, plural, verb_forms
from codrun_lexicon.text import Sentence

PRAISE, BLAME = 1, -1
TURNS = {"|": (PRAISE, BLAME), "<": (BLAME,), ">": (PRAISE,)}
"""The sign between the two sides of a line, to the sides whose words may be replaced."""


@dataclass(frozen=True)
class Kind:
    """A part of speech in one form: (``verb``, ``past``), (``noun``, ``plural``), (``adjective``, ``base``)."""

    part: str
    form: str = "base"


@dataclass(frozen=True)
class Opposite:
    """One opposite of a word."""

    word: str
    kind: Kind
    side: int
    """Of the word that is replaced: :data:`PRAISE` or :data:`BLAME`."""


@dataclass(frozen=True)
class Line:
    """Words that turn into each other; ``part`` is the part of speech."""

    part: str
    praise: tuple[str, ...]
    blame: tuple[str, ...]
    turns: tuple[int, ...] = (PRAISE, BLAME)
    """The sides whose words may be replaced."""


class Opposites:
    """Look-up by word or phrase, in lower case."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._partners: dict[str, list[Opposite]] = defaultdict(list)
        self._of_kind: dict[tuple[Kind, int], dict[str, None]] = defaultdict(dict)
        self._base: dict[str, str] = {}
        self.longest_phrase = 1
        for line in lines:
            if PRAISE in line.turns:
                self._enter(line.part, line.praise, line.blame, PRAISE)
            if BLAME in line.turns:
                self._enter(line.part, line.blame, line.praise, BLAME)

    @classmethod
    def packaged(cls, own: Iterable[tuple[str, str]] = ()) -> Opposites:
        """The list that ships with the plugin, after a user's own pairs (praise, blame)."""
        text = resources.files("codrun_lexicon").joinpath("opposites.txt").read_text(encoding="utf-8")
        return cls([*(Line("fixed", (praise,), (blame,)) for praise, blame in own), *_lines(text)])

    def of(self, phrase: str) -> list[Opposite]:
        """The opposites of a phrase, its tokens joined by spaces, best first; ``funnier`` gives ``less funny``."""
        found = self._partners.get(phrase, [])
        if found or " " in phrase:
            return found
        for base, degree in comparative_base(phrase):
            sides = {one.side for one in self._partners.get(base, []) if one.kind.part == "adjective"}
            if len(sides) == 1:
                return [Opposite(f"{degree} {base}", Kind("adjective", degree), sides.pop())]
        return []

    def kinds(self, word: str) -> set[Kind]:
        """The parts of speech and forms in which a word is listed."""
        return {one.kind for one in self.of(word)}

    def side(self, word: str) -> int:
        """:data:`PRAISE`, :data:`BLAME`, or 0 for an unlisted word."""
        found = self.of(word)
        return found[0].side if found else 0

    def base_of(self, third_person: str) -> str:
        """The base form of a listed verb's third person."""
        return self._base[third_person]

    def words(self, kind: Kind, side: int) -> list[str]:
        """Every single listed word of a kind on one side, in the order of the list."""
        return [word for word in self._of_kind[kind, side] if " " not in word]

    def _enter(self, part: str, words: Sequence[str], partners: Sequence[str], side: int) -> None:
        for word in words:
            if part == "verb":
                self._base[verb_forms(word)["s"]] = word
            for kind, form in _forms(part, word):
                tokens = [token.lower for token in Sentence.of(form).tokens]
                self.longest_phrase = max(self.longest_phrase, len(tokens))
                self._of_kind[kind, side].setdefault(form)
                known = self._partners[" ".join(tokens)]
                for partner in partners:
                    opposite = Opposite(dict(_forms(part, partner))[kind], kind, side)
                    if opposite not in known:
                        known.append(opposite)


def _forms(part: str, word: str) -> list[tuple[Kind, str]]:
    if part == "verb":
        return [(Kind("verb", name), form) for name, form in verb_forms(word).items()]
    if part == "noun":
        return [(Kind("noun"), word), (Kind("noun", "plural"), plural(word))]
    return [(Kind(part), word)]


def _lines(text: str) -> Iterator[Line]:
    part = ""
    for line in text.splitlines():
        content = line.split("#")[0].strip()
        if content.startswith("["):
            part = content.strip("[]")
        elif content:
            sign = next(sign for sign in TURNS if sign in content)
            praise, blame = content.split(sign)
            yield Line(part, _words(praise), _words(blame), TURNS[sign])


def _words(listed: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in listed.split(","))
