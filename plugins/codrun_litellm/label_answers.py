"""Reads which label an answer in words names, as tolerantly as possible without guessing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from codrun_litellm.answers import FENCE, THOUGHTS, TOLERANT
from codrun_litellm.heard import MARKS, bare

LONGEST = 20_000
"""Characters of an answer that are read: the last ones, where a conclusion stands."""
KEYS = ("label", "answer", "class", "category", "prediction", "result", "output", "letter")
UP_TO_THE_ANSWER = re.compile(
    r"\A.*\b(?:final answer|answer|label|class|category|sentiment)\b[\s*_]*(?:is|would be|:|=)+[\s*_:]*",
    re.IGNORECASE | re.DOTALL,
)
LETTER_FIRST = re.compile(r"\A[\s(\[*_\"'`]*([A-Za-z])(?:[\s*_\"'`]*[)\].:,;]|[\s*_\"'`]*\Z|\s*[-–—]\s)")
DENIED = re.compile(r"(?:\bnot|\bn['’]t|\bnever|\bnor|\bneither|\brather than|\bnon)[\s-]+(?:an?\s+|the\s+)?\Z", re.I)
HARMONY = re.compile(r"<\|channel\|>\s*final\s*(?:<\|[^|>]*\|>[^<]*)*?<\|message\|>")
"""What gpt-oss writes before its answer where a server passes its thoughts on."""


def named_label(text: str, names: Sequence[str], letters: Sequence[str] = ()) -> int | None:
    """The class that an answer names, by word or letter; None where it names none, or more than one."""
    text = HARMONY.split(text)[-1]
    text = THOUGHTS.sub("", text).rpartition("</think>")[2][-LONGEST:].strip()
    fence = FENCE.search(text)
    for piece in (text, fence[1].strip() if fence else ""):
        if piece:
            loaded = _loaded(piece)
            found = None if loaded is None else _in_json(loaded, names, letters)
            found = _in_words(piece, names, letters) if found is None and loaded is None else found
            if found is not None:
                return found
    return None


def _loaded(piece: str) -> Any:
    start = min((place for place in (piece.find("{"), piece.find("[")) if place >= 0), default=-1)
    if start < 0:
        return None
    try:
        return TOLERANT.raw_decode(piece, start)[0]
    except (ValueError, RecursionError):
        return None


def _in_json(value: Any, names: Sequence[str], letters: Sequence[str]) -> int | None:
    if isinstance(value, str):
        return _in_words(value, names, letters)
    if isinstance(value, list):
        return _in_json(value[0], names, letters) if len(value) == 1 else None
    if isinstance(value, dict):
        by_name = {str(key).casefold(): content for key, content in value.items()}
        told = [by_name[key] for key in KEYS if isinstance(by_name.get(key), str)] or [
            content for content in value.values() if isinstance(content, str)
        ]
        return _in_words(told[0], names, letters) if len(told) == 1 or any(key in by_name for key in KEYS) else None
    return None


def _in_words(text: str, names: Sequence[str], letters: Sequence[str]) -> int | None:
    """The whole text, then what follows "the answer is", then its last line, then all of it."""
    lines = [line for line in text.splitlines() if line.strip(MARKS)]
    after = UP_TO_THE_ANSWER.sub("", text, count=1)
    for piece in dict.fromkeys([text, after, lines[-1] if lines else "", lines[0] if lines else ""]):
        found = _is_exactly(piece, names, letters)
        if found is not None:
            return found
    for piece in dict.fromkeys([after.splitlines()[0] if after.strip() else "", lines[-1] if lines else "", text]):
        mentioned = _mentioned(piece, names)
        if len(mentioned) == 1:
            return mentioned.pop()
        if mentioned:
            return None
    return None


def _is_exactly(piece: str, names: Sequence[str], letters: Sequence[str]) -> int | None:
    plain = " ".join(bare(piece).split())
    for label, name in enumerate(names):
        if plain == " ".join(bare(name).split()) or plain == name.casefold():
            return label
    letter = LETTER_FIRST.match(piece)
    if letter is not None and letter[1].upper() in letters:
        rest = _mentioned(piece[letter.end() :], names)
        label = list(letters).index(letter[1].upper())
        return label if rest <= {label} else None
    return None


def _mentioned(piece: str, names: Sequence[str]) -> set[int]:
    """The classes whose words stand in a text; of words within words the longer ones, and none that is denied."""
    found: set[int] = set()
    rest = piece
    for label in sorted(range(len(names)), key=lambda label: -len(names[label])):
        pattern = re.compile(rf"(?<!\w){re.escape(names[label])}(?!\w)", re.IGNORECASE)
        places = list(pattern.finditer(rest))
        if any(not DENIED.search(rest[: place.start()]) for place in places):
            found.add(label)
        for place in places:
            rest = rest[: place.start()] + "\0" * len(place[0]) + rest[place.end() :]
    return found
