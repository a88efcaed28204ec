"""Rows that nothing can be learnt from or measured on are taken out, and counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

from cod_runner.api import Example, Input
from cod_runner.component_results import UNLABELLED
from cod_runner.data.content import content_of


@dataclass(frozen=True)
class Dropped:
    """Rows omitted, by reason."""

    empty: int = 0
    unlabelled: int = 0
    duplicate: int = 0
    """Further rows of one text with one label; the first row stays."""
    conflicting: int = 0
    """Rows of a text that has several labels; all are dropped."""
    overlapping: int = 0
    """Rows of the pool, or without a label, whose text is in the evaluation split too."""

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def in_words(self) -> str:
        """``3 without text, 2 that repeat another``; "" where none was dropped."""
        reasons = (
            (self.empty, "without text"),
            (self.unlabelled, "without a label"),
            (self.duplicate, "that repeat another"),
            (self.conflicting, "whose text has several labels"),
            (self.overlapping, "of the pool that are in the evaluation split"),
        )
        return ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)

    def sentence(self) -> str:
        """How many rows were dropped and why; "" where none was."""
        return f"dropped rows: {self.in_words}" if self.in_words else ""


def cleaned(rows: Sequence[Example]) -> tuple[list[Example], Dropped]:
    """Rows with text and label, one per content, in their order."""
    labels_of: dict[Input, set[int]] = {}
    first: dict[Input, Example] = {}
    empty = unlabelled = 0
    seen: Counter[Input] = Counter()
    for example in rows:
        content = content_of(example.input)
        if content in ("", ()):
            empty += 1
        elif example.label is None or example.label == UNLABELLED:
            unlabelled += 1
        else:
            seen[content] += 1
            labels_of.setdefault(content, set()).add(example.label)
            first.setdefault(content, example)
    conflicting = sum(seen[content] for content, labels in labels_of.items() if len(labels) > 1)
    unique = [example for content, example in first.items() if len(labels_of[content]) == 1]
    duplicate = seen.total() - conflicting - len(unique)
    return unique, Dropped(empty=empty, unlabelled=unlabelled, duplicate=duplicate, conflicting=conflicting)


def labelled(rows: Sequence[Example]) -> list[Example]:
    """All rows but those that are handed over without a label; one that is not public is a label."""
    return [example for example in rows if example.label is not None]


def unlabelled_apart(
    rows: Sequence[Example], pool: Sequence[Example], evaluation: Sequence[Example]
) -> tuple[list[Example], Dropped]:
    """Rows with an input that is in neither of the two, one per content, in their order."""
    held, known = ({content_of(row.input) for row in each} for each in (evaluation, pool))
    kept: dict[Input, Example] = {}
    empty = overlapping = duplicate = 0
    for row in rows:
        content = content_of(row.input)
        if content in ("", ()):
            empty += 1
        elif content in held:
            overlapping += 1
        elif content in known or content in kept:
            duplicate += 1
        else:
            kept[content] = row
    return list(kept.values()), Dropped(empty=empty, duplicate=duplicate, overlapping=overlapping)
