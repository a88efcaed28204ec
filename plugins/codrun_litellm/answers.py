"""Extracts the candidate from a model's answer, as tolerantly as possible without guessing.

It reads JSON, fenced JSON, JSON amid prose, tags over several lines and plain text. The pipeline judges the result: a
refusal, for instance, is passed on unchanged.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

KEYS = ("counterfactual", "edited_text", "edited", "rewritten", "rewritten_text", "output", "answer", "result", "text")
THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n?(.*?)(?:```|\Z)", re.DOTALL)
OPENING_TAG = re.compile(r"<(counterfactual|edited|rewritten|new|output|answer|text)>", re.IGNORECASE)
PREAMBLE = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|ok|absolutely)\b[^\n:]{0,80}[:!.,][ \t]*)?"
    r"(?:(?:here(?:'s|’s| is| are)|below is|this is|the (?:edited|rewritten|modified|revised|new)|"
    r"(?:edited|rewritten|modified|revised|new|changed) (?:text|sentence|version|review)|"
    r"counterfactual|output|answer|result|rewrite)\b[^\n:]{0,100}:[ \t]*\n*)?",
    re.IGNORECASE,
)
NOTE = re.compile(
    r"\s*[*_(\[]*(?:note|explanation|reasoning|changes?|i (?:changed|replaced|kept)|this version)\b", re.IGNORECASE
)
PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“", "`": "`"}
LONGEST_JSON = 200_000
BRACES_TRIED = 20
TOLERANT = json.JSONDecoder(strict=False)
"""Accepts raw line breaks inside strings, which models write."""


def read_answer(text: str, original: str) -> str:
    """The candidate in a model's answer; "" if it contains none."""
    text = THOUGHTS.sub("", text).strip()
    if not text:
        return ""
    structured = _from_json(text, original)
    if structured is None:
        structured = _tagged(text)
    if structured is not None:
        return _tidied(structured, original)
    if _is_broken_json(text):
        return ""
    return _tidied(_from_prose(text, original), original)


def _from_json(text: str, original: str) -> str | None:
    fences = [found[1].strip() for found in FENCE.finditer(text)]
    for piece in (text, *fences):
        loaded = _loaded(piece)
        if isinstance(loaded, str) and original.strip().startswith('"'):
            return None  # the quotes may be the text's own
        found = _candidate(loaded)
        if found is not None:
            return found
    return next((found for found in map(_candidate, _amid_prose(text)) if found is not None), None)


def _loaded(piece: str) -> Any:
    piece = piece.strip()
    if len(piece) > LONGEST_JSON or piece[:1] not in ("{", "[", '"'):
        return None
    try:
        return TOLERANT.decode(piece)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(piece) if piece[0] == "{" else None  # single quotes, trailing commas
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _amid_prose(text: str) -> Iterator[Any]:
    """JSON objects that begin at one of the first braces."""
    for found in islice(re.finditer(r"\{", text), BRACES_TRIED):
        try:
            yield TOLERANT.raw_decode(text, found.start())[0]
        except (ValueError, RecursionError):
            continue


def _candidate(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return _candidate(value[0])
    if isinstance(value, dict):
        named = {str(key).lower(): content for key, content in value.items()}
        for key in KEYS:
            if isinstance(named.get(key), str):
                return str(named[key])
        strings = [content for content in value.values() if isinstance(content, str)]
        if len(strings) == 1:
            return str(strings[0])
    return None


def _is_broken_json(text: str) -> bool:
    """Whether the answer begins like our JSON object but is truncated or malformed."""
    bare = re.sub(r"\A```[\w-]*\s*", "", text)
    return bool(re.match(r"[{\[]\s*[\"'“](?:" + "|".join(KEYS) + r")[\"'”]?\s*:", bare, re.IGNORECASE))


def _tagged(text: str) -> str | None:
    """The text between one of the first opening tags and its closing tag."""
    lowered = text.lower()
    for opening in islice(OPENING_TAG.finditer(text), BRACES_TRIED):
        end = lowered.find(f"</{opening[1].lower()}>", opening.end())
        if end >= 0:
            return text[opening.end() : end]
    return None


def _from_prose(text: str, original: str) -> str:
    fence = FENCE.search(text)
    if fence and fence[1].strip():
        text = fence[1].strip()
    preamble = PREAMBLE.match(text)
    if preamble and not original.casefold().startswith(preamble[0].strip().casefold()):
        # an answer that is nothing but a preamble is passed on: the pipeline has a reject reason for it
        text = text[preamble.end() :].strip() or text
    paragraphs = [paragraph.strip() for paragraph in PARAGRAPH_END.split(text)]
    if "\n" not in original.strip():
        return paragraphs[0]
    notes = [place for place, paragraph in enumerate(paragraphs) if place and NOTE.match(paragraph)]
    return "\n\n".join(paragraphs[: notes[0]]) if notes else text


def _tidied(text: str, original: str) -> str:
    text = text.strip()
    if "\n" not in original.strip():
        lines = (line.strip() for line in re.split(r"[\r\n]+", text))
        text = " ".join(line for line in lines if line)
    for mark in ("**", *QUOTES):
        closing = QUOTES.get(mark, mark)
        wrapped = len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(closing)
        inside = text[len(mark) : -len(closing)]
        if wrapped and mark not in inside and not original.strip().startswith(mark):
            text = inside.strip()
    return text
