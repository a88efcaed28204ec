"""Texts as words with positions, and changes to them that preserve spacing, capitals and articles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
HYPHENS = tuple("-‐‑")
_SILENT_H = re.compile(r"(honest|honou?r|hour|heir)", re.IGNORECASE)
_SPOKEN_CONSONANT = re.compile(r"(uni([^n]|$)|use|usu|util|euro?|ew|on[ce]|ubi)", re.IGNORECASE)


@dataclass(frozen=True)
class Token:
    """One word or punctuation mark: ``text[start:end]``."""

    start: int
    end: int
    text: str

    @property
    def lower(self) -> str:
        return _lower(self.text)

    @property
    def is_word(self) -> bool:
        return _is_word(self.text)


def _lower(token: str) -> str:
    return token.lower().replace("’", "'")


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_"


def lower_tokens(text: str, *, words_alone: bool = False) -> list[str]:
    """The tokens of :meth:`Sentence.of` in lower case: for counts over a whole pool, where nobody asks for places."""
    return [_lower(token) for token in _TOKEN.findall(text) if not words_alone or _is_word(token)]


@dataclass(frozen=True)
class Sentence:
    """A text and its tokens."""

    text: str
    tokens: tuple[Token, ...]

    @classmethod
    def of(cls, text: str) -> Sentence:
        return cls(text, tuple(Token(*match.span(), match.group()) for match in _TOKEN.finditer(text)))

    def lower(self, place: int) -> str:
        """The token at ``place`` in lower case; ``""`` outside the text."""
        return self.tokens[place].lower if 0 <= place < len(self.tokens) else ""

    def glued(self, first: int, last: int) -> bool:
        """Whether the tokens are part of a longer word, such as ``clean`` in ``clean-cut``."""
        start, end = self.tokens[first].start, self.tokens[last].end
        before, after = self.text[max(0, start - 2) : start], self.text[end : end + 2]
        return (before[-1:] in HYPHENS and before[:1].isalnum()) or (after[:1] in HYPHENS and after[1:].isalnum())

    def opens(self, place: int) -> bool:
        """Whether the token begins the text or a sentence."""
        return place == 0 or self.lower(place - 1) in {".", "!", "?", ";", ":"}


@dataclass(frozen=True)
class Change:
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Edit:
    """Changes that belong together: a swapped word and its article, say. ``tier`` as in :class:`Proposal`."""

    changes: tuple[Change, ...]
    tier: int

    def clashes(self, other: Edit) -> bool:
        """Whether both touch the same place."""
        return any(one.start <= two.end and two.start <= one.end for one in self.changes for two in other.changes)


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with every change made; the changes must not overlap."""
    changes = sorted((change for edit in edits for change in edit.changes), key=lambda change: change.start)
    pieces, place = [], 0
    for change in changes:
        pieces += [text[place : change.start], change.new]
        place = change.end
    return "".join([*pieces, text[place:]])


def swap(sentence: Sentence, first: int, last: int, new: str, tier: int) -> Edit:
    """Tokens ``first`` to ``last`` become ``new``, with the capitals of the first and a matching ``a`` or ``an``."""
    old = sentence.tokens[first]
    changes = [Change(old.start, sentence.tokens[last].end, like_capitals(new, old.text, sentence))]
    return Edit((*_article(sentence, first, new), *changes), tier)


def insert_before(sentence: Sentence, place: int, new: str, tier: int) -> Edit:
    """``new`` and a space before the token at ``place``; a capital moves to the front."""
    token = sentence.tokens[place]
    if sentence.opens(place) and token.text[0].isupper() and not token.text[1:2].isupper() and token.text != "I":
        front = new[0].upper() + new[1:]
        return Edit((Change(token.start, token.start + 1, f"{front} {token.text[0].lower()}"),), tier)
    return Edit((*_article(sentence, place, new), Change(token.start, token.start, f"{new} ")), tier)


def insert_after(sentence: Sentence, place: int, new: str, tier: int) -> Edit:
    """A space and ``new`` after the token at ``place``."""
    end = sentence.tokens[place].end
    return Edit((Change(end, end, f" {new}"),), tier)


def delete(sentence: Sentence, first: int, last: int, tier: int) -> Edit:
    """Delete tokens ``first`` to ``last``, and the white space on one side."""
    tokens, text = sentence.tokens, sentence.text
    start, end = tokens[first].start, tokens[last].end
    following = sentence.lower(last + 1)
    if last + 1 < len(tokens) and (tokens[last + 1].is_word or first == 0):
        capital = sentence.opens(first) and tokens[first].text[0].isupper() and tokens[last + 1].is_word
        if capital:
            head = tokens[last + 1]
            return Edit((Change(start, head.start + 1, head.text[0].upper()),), tier)
        end = tokens[last + 1].start
    else:
        while start > 0 and text[start - 1].isspace():
            start -= 1
    article = _article(sentence, first, following) if following else ()
    return Edit((*article, Change(start, end, "")), tier)


def like_capitals(new: str, old: str, sentence: Sentence) -> str:
    """``new`` with the capitals of ``old``: WORD, Word or word."""
    if len(old) > 1 and old.isupper():
        return new.upper() if not sentence.text.islower() else new
    return new[0].upper() + new[1:] if old[0].isupper() else new


def article_for(word: str) -> str:
    """``a`` or ``an``, by the sound that English spelling suggests."""
    if _SILENT_H.match(word):
        return "an"
    return "an" if word[:1].lower() in "aeiou" and not _SPOKEN_CONSONANT.match(word) else "a"


def _article(sentence: Sentence, place: int, new: str) -> tuple[Change, ...]:
    """The change that makes the article before ``place`` fit the word that will follow it."""
    if place == 0 or sentence.lower(place - 1) not in {"a", "an"}:
        return ()
    article, wanted = sentence.tokens[place - 1], article_for(new)
    if article.lower == wanted:
        return ()
    shown = wanted.upper() if article.text.isupper() and len(article.text) > 1 else wanted
    return (Change(article.start, article.end, shown[0].upper() + shown[1:] if article.text[0].isupper() else shown),)
