"""Which columns of a data file hold texts, labels and splits: as the user says, or guessed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.scaffold.cells import few_values, folded, is_empty, like_labels, name_of
from cod_runner.scaffold.options import NewRecipeOptions
from cod_runner.scaffold.sample import Sample, guess_text_column
from cod_runner.scaffold.several_labels import parts_of_cells

LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "polarity", "rating", "stars", "topic")
PAIRS = (
    ("premise", "hypothesis"),
    ("claim", "evidence"),
    ("query", "passage"),
    ("query", "document"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("question", "sentence"),
    *((f"{name}{one}", f"{name}{other}") for name in ("sentence", "question", "text") for one, other in ("12", "ab")),
    *((f"{name}_{one}", f"{name}_{other}") for name in ("sentence", "question", "text") for one, other in ("12", "ab")),
)
"""Names of two columns of which a label says how they go together, so that neither is enough."""
WORDS_OF_A_TEXT = 3
"""On average, at least, in a further column that counts as texts."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""What a column of splits may say, and the split that a recipe calls it."""
NAMES_OF_SPLIT_COLUMNS = frozenset(("split", "splits", "set", "subset", "partition", "fold"))
MOST_NAMED = 4
"""Values of a column that a sentence lists."""


@dataclass(frozen=True)
class Columns:
    """The columns of a recipe's data set, and sentences on what was guessed."""

    text: tuple[str, ...]
    label: str
    split: str | None
    sentences: tuple[str, ...]


def find_columns(sample: Sample, data: Path, given: NewRecipeOptions) -> Columns:
    """Raises :class:`DataError` where a column that is asked for is not there, or none can be guessed."""
    _refuse_unknown(sample, data, given)
    split = given.split or _split_column(sample, {*given.text, given.label})
    text, said_of_text = _text_columns(sample, data, given, split)
    label, said_of_label = _label_column(sample, data, given, {*text, split})
    said_of_splits = _unread_splits(sample, {*text, label, split})
    return Columns(text, label, split, (*said_of_text, *said_of_label, *said_of_splits))


def guess_label_columns(columns: dict[str, list[Any]]) -> list[str]:
    """Columns that could hold the labels, the likeliest first: few distinct values, each of them often; a typical name
    wins, then fewer gaps, fewer values, and the earlier column."""

    def rank(name: str) -> tuple[bool, int, int]:
        cells = columns[name]
        return (name.lower() not in LABEL_NAMES, sum(map(is_empty, cells)), len(set(map(name_of, cells))))

    return sorted((name for name in columns if _could_be_labels(columns[name])), key=rank)


def _could_be_labels(cells: Sequence[Any]) -> bool:
    return bool(few_values(cells)) or like_labels(parts_of_cells(cells), len(cells))


def _refuse_unknown(sample: Sample, data: Path, given: NewRecipeOptions) -> None:
    for flag, column in (
        *(("--text", text) for text in given.text),
        ("--label", given.label),
        ("--split", given.split),
    ):
        if column is None or column in sample.columns:
            continue
        near = _nearest(column, list(sample.columns))
        hint = f"did you mean `{near}`? " if near else ""
        raise DataError(f"{data}: there is no column `{column}` for {flag}; {hint}there are: {_listed(sample)}")


def _nearest(column: str, present: Sequence[str]) -> str | None:
    same = [name for name in present if folded(name) == folded(column)]
    return next(iter(same or difflib.get_close_matches(column, present, 1, cutoff=0.5)), None)


def _listed(sample: Sample) -> str:
    return ", ".join(f"`{name}`" for name in sample.columns)


def _split_column(sample: Sample, taken: set[str | None]) -> str | None:
    """The column whose values are names of splits, one of them that of a training set."""
    for name, cells in sample.columns.items():
        values = {folded(name_of(cell)) for cell in cells if not is_empty(cell)} if name not in taken else set()
        if len(values) > 1 and values <= SPLIT_NAMES.keys() and "train" in {SPLIT_NAMES[value] for value in values}:
            return name
    return None


def _unread_splits(sample: Sample, read: set[str | None]) -> list[str]:
    """What to say of columns that are called a split and say something else."""
    said = []
    for name, cells in sample.columns.items():
        values = sorted(few_values(cells)) if name not in read and folded(name) in NAMES_OF_SPLIT_COLUMNS else []
        if values:
            listed = ", ".join(f"`{value}`" for value in values[:MOST_NAMED])
            listed += ", ..." if len(values) > MOST_NAMED else ""
            said.append(
                f"column `{name}` is not read, so its rows are drawn from alike: it says {listed}, and splits are "
                "called train, validation and test; write these to have rows kept for the evaluation"
            )
    return said


def _text_columns(
    sample: Sample, data: Path, given: NewRecipeOptions, split: str | None
) -> tuple[tuple[str, ...], Sequence[str]]:
    free = {name: cells for name, cells in sample.columns.items() if name not in (given.label, split)}
    if given.text:
        joined = "their texts are joined" if len(given.text) > 1 else ""
        return given.text, [f"texts: {_columns_in_words(given.text)}, {joined}"] if joined else []
    guessed = guess_text_column(free)
    if guessed is None or (_nested(sample) and few_values(free[guessed[0]])):
        raise DataError(f"{data}: no column contains texts; there are: {_listed(sample)}{_nested(sample)}")
    text, characters = guessed
    pair = _pair_with(text, free)
    if pair is not None:
        return pair, [
            f"texts: {_columns_in_words(pair)}, whose names say that they belong together, joined to one text; if one "
            "of them is enough, say --text"
        ]
    said = [f"texts: column `{text}`, the longest ones ({characters:.0f} characters on average)"]
    others = [name for name in free if name != text and _holds_texts(free[name])]
    if others:
        named = ", ".join(f"`{name}`" for name in others)
        said.append(
            f"{named} {'holds' if len(others) == 1 else 'hold'} texts too, and only `{text}` is read: say --text once "
            "for each column to join them, or for the one that is meant"
        )
    return (text,), said


def _columns_in_words(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"columns {', '.join(quoted[:-1])} and {quoted[-1]}" if len(quoted) > 1 else f"column {quoted[0]}"


def _pair_with(text: str, columns: dict[str, list[Any]]) -> tuple[str, str] | None:
    by_name = {name.lower(): name for name in columns}
    for one, other in PAIRS:
        if text.lower() in (one, other) and one in by_name and other in by_name:
            return by_name[one], by_name[other]
    return None


def _holds_texts(cells: Sequence[Any]) -> bool:
    texts = [cell for cell in cells if not is_empty(cell)]
    if not texts or not all(isinstance(text, str) for text in texts) or len(set(texts)) <= len(texts) / 2:
        return False
    return sum(len(text.split()) for text in texts) / len(texts) >= WORDS_OF_A_TEXT


def _label_column(
    sample: Sample, data: Path, given: NewRecipeOptions, taken: set[str | None]
) -> tuple[str, Sequence[str]]:
    if given.label is not None:
        return given.label, []
    free = {name: cells for name, cells in sample.columns.items() if name not in taken}
    found = guess_label_columns(free)
    if not found:
        raise DataError(_without_labels(sample, data, free))
    if not found[1:]:
        return found[0], [f"labels: column `{found[0]}`"]
    others = ", ".join(f"`{name}`" for name in found[1:])
    return found[0], [f"labels: column `{found[0]}`; {others} could be labels too: say --label if so"]


def _without_labels(sample: Sample, data: Path, free: dict[str, list[Any]]) -> str:
    for name, cells in free.items():
        values = {name_of(cell) for cell in cells if not isinstance(cell, list | dict)} - {""}
        if len(values) == 1 and (name.lower() in LABEL_NAMES or len(free) == 1):
            return (
                f"{data}: the column `{name}` has one label only, `{values.pop()}`, so there is nothing to tell apart; "
                "add rows of another one"
            )
        if any(isinstance(cell, list) for cell in cells) and name.lower() in LABEL_NAMES:
            return (
                f"{data}: the column `{name}` holds lists, several labels of one text, and a student here gives one: "
                "write one label in each row"
            )
    return (
        f"{data}: no column looks like labels, with at least 2 values and on average at least 4 rows per value; "
        f"there are: {_listed(sample)}{_nested(sample)}; say --label if one of them holds the labels"
    )


def _nested(sample: Sample) -> str:
    """A hint at objects within objects, which no data set reads."""
    nested = [name for name, cells in sample.columns.items() if any(isinstance(cell, dict) for cell in cells)]
    if not nested:
        return ""
    inner = next(cell for cell in sample.columns[nested[0]] if isinstance(cell, dict))
    keys = ", ".join(f"`{key}`" for key in inner)
    return (
        f"; `{nested[0]}` holds objects (with {keys}), which are not read: write what is inside as keys of the line "
        "itself"
    )
