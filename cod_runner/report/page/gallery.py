"""The counterfactuals as a page shows them: word by word, and with what a reader may filter them by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cod_runner.report.table import MISSING
from cod_runner.word_diff import Piece, shown_input, word_diff

FIRST = 12
"""Pairs that a page shows at once."""
MOST_PAIRS = 500
MOST_CHARACTERS = 400_000
"""Of all pairs of a page together, so that it stays one file that a browser opens at once."""
LONGEST_TEXT = 6_000
"""Characters of one text."""
MOST_OPTIONS = 50
"""Of one filter."""
VERIFIED, NOT_VERIFIED = "verified", "not verified"


@dataclass(frozen=True)
class ShownPair:
    """An original and its counterfactual."""

    pieces: list[Piece]
    verified: bool
    before: str
    after: str
    facts: str
    options: Mapping[str, str]
    """By filter, the places of its options that the pair belongs to, with spaces between: `0 3`."""
    edits: float | None
    minimality: float | None


@dataclass(frozen=True)
class Filter:
    """A choice among the values that the pairs have; a page knows each by its place, never by its text."""

    name: str
    title: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """The pairs of a page, and how a reader finds some of them."""

    pairs: tuple[ShownPair, ...]
    filters: tuple[Filter, ...]
    """Those between whose options there is a choice."""
    total: int
    """Lines of ``counterfactuals.jsonl``."""
    verified: int
    has_edits: bool
    has_minimality: bool

    @property
    def first(self) -> tuple[ShownPair, ...]:
        return self.pairs[:FIRST]

    @property
    def others(self) -> tuple[ShownPair, ...]:
        return self.pairs[FIRST:]


def gallery(outcomes: Sequence[Mapping[str, Any]]) -> Gallery:
    """The first lines of ``counterfactuals.jsonl`` that a page has room for."""
    lines = list(_that_fit(outcomes))
    wanted = {name: [_values(name, line) for line in lines] for name in TITLES}
    filters = [_filter(name, values) for name, values in wanted.items()]
    pairs = []
    for place, line in enumerate(lines):
        options = {each.name: _places(each.options, wanted[each.name][place]) for each in filters}
        pairs.append(_shown(line, options))
    return Gallery(
        tuple(pairs),
        tuple(each for each in filters if len(each.options) > 1),
        total=len(outcomes),
        verified=sum(bool(line.get("verified")) for line in outcomes),
        has_edits=any(pair.edits is not None for pair in pairs),
        has_minimality=any(pair.minimality is not None for pair in pairs),
    )


def _that_fit(outcomes: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    characters = 0
    for place, line in enumerate(outcomes):
        characters += sum(min(LONGEST_TEXT, len(str(line.get(side) or ""))) for side in ("original", "counterfactual"))
        if place >= MOST_PAIRS or (place >= FIRST and characters > MOST_CHARACTERS):
            return
        yield line


TITLES = {
    "verdict": "Verdict",
    "generator": "Generator",
    "from": "From label",
    "to": "To label",
    "fold": "Fold",
    "arm": "Arm",
    "seed": "Seed",
}
"""The filters, in their order; those of which the lines say nothing are not shown."""


def _values(name: str, line: Mapping[str, Any]) -> list[str]:
    """What a line counts as in one filter."""
    if name == "verdict":
        return [VERIFIED] if line.get("verified") else [NOT_VERIFIED, *(f"refused: {each}" for each in _reasons(line))]
    keys = {"from": ("from_label",), "to": ("label", "target")}.get(name, (name,))
    value = next((line[key] for key in keys if line.get(key) is not None), None)
    return (
        []
        if value is None or isinstance(value, list | dict)
        else [_label(value) if name in ("from", "to") else str(value)]
    )


def _reasons(line: Mapping[str, Any]) -> list[str]:
    reasons = line.get("reasons")
    return [str(reason) for reason in reasons] if isinstance(reasons, dict | list) else []


def _filter(name: str, values: Iterable[Sequence[str]]) -> Filter:
    seen = dict.fromkeys(value for each in values for value in each)
    if name == "verdict":
        seen = dict.fromkeys([*(word for word in (VERIFIED, NOT_VERIFIED) if word in seen), *sorted(seen)])
        options = list(seen)
    else:
        options = sorted(seen)
    return Filter(name, TITLES[name], tuple(options[:MOST_OPTIONS]))


def _places(options: Sequence[str], values: Iterable[str]) -> str:
    return " ".join(str(options.index(value)) for value in values if value in options)


def _shown(line: Mapping[str, Any], options: Mapping[str, str]) -> ShownPair:
    original, changed = _text(line.get("original")), line.get("counterfactual")
    edits, minimality = _number(line.get("edits")), _number(line.get("minimality"))
    facts = []
    if line.get("generator"):
        facts.append(str(line["generator"]))
    if edits is not None:
        facts.append(f"{edits:.3g} {'edit' if edits == 1 else 'edits'}")
    attempts = line.get("attempts")
    tried = len(attempts) if isinstance(attempts, list) else attempts
    if isinstance(tried, int):
        facts.append(f"{tried} tried")
    if not line.get("verified") and (reasons := _reasons(line)):
        facts.append("rejected: " + ", ".join(reasons))
    return ShownPair(
        pieces=word_diff(original, _text(changed)) if changed is not None else [Piece("same", original)],
        verified=bool(line.get("verified")),
        before=_reading(line.get("from_label"), line.get("teacher_before")),
        after=_reading(line.get("label"), line.get("teacher_after")) if changed is not None else MISSING,
        facts=", ".join(facts),
        options=options,
        edits=edits,
        minimality=minimality,
    )


def _text(value: Any) -> str:
    text = shown_input(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " …"


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _reading(label: Any, probabilities: Any) -> str:
    """``positive .93``: a class and the teacher's largest probability."""
    if isinstance(probabilities, Mapping):
        probabilities = list(probabilities.values())
    several = probabilities if isinstance(probabilities, list | tuple) else [probabilities]
    known = [value for value in map(_number, several) if value is not None]
    words = [] if label is None else [_label(label)]
    if known:
        words.append(f"{max(known):.2f}")
    return " ".join(words) or MISSING


def _label(label: Any) -> str:
    return f"class {label}" if isinstance(label, int) else str(label)
