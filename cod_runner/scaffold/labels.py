"""Which label each value of a column stands for, where people wrote them in more than one way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.scaffold.cells import folded, is_empty, is_number, name_of
from cod_runner.scaffold.several_labels import combinations_among

MOST_LEFT_OUT = 1 / 3
"""Of the labelled rows; where more have several labels, the file is refused."""
SAYS_NOTHING = frozenset(
    "? - -- n/a na nan none null nil unknown unlabelled unlabeled unlabelled. todo tbd missing undefined".split()
)
"""Values, folded, that people write where they have no label."""


@dataclass(frozen=True)
class Labels:
    """How the values of a label column are read."""

    names: tuple[str, ...] = ()
    """In the order of their ids; empty where the data set can find them itself."""
    values: dict[str, str | None] = field(default_factory=dict)
    """Raw value to label, None to omit its rows; empty where every value is a label of its own."""
    sentences: tuple[str, ...] = ()


def read_labels(cells: Sequence[Any], column: str, data: Path, *, header_again: bool = False) -> Labels:
    """Labels that differ by case or white space only become one, rows with several labels are left out.

    ``header_again``: the header stands among the rows too, as in files that were put together, and is left out. Raises
    :class:`DataError` where too many rows have several labels.
    """
    counts = Counter(name_of(cell) for cell in cells if not is_empty(cell) and not isinstance(cell, list | dict))
    headers = counts.pop(column) if header_again else 0
    several = combinations_among(set(counts))
    sentences = []
    if headers:
        sentences.append(f"the header stands among the rows too ({rows_in_words(headers)}), and is left out there")
    if several:
        sentences.append(_said_of_several(several, counts, column, data))
    spelled: dict[str, Counter[str]] = {}
    for name, count in counts.items():
        if name not in several:
            spelled.setdefault(folded(name), Counter())[name] = count
    # the usual spelling; of two that are as usual, the one that comes last, which is in lower case
    usual = {same: max(names, key=lambda name: (names[name], name)) for same, names in spelled.items()}
    differing = [(usual[same], names) for same, names in spelled.items() if len(names) > 1]
    for name, names in differing:
        others = ", ".join(f"`{other}` ({rows_in_words(names[other])})" for other in names if other != name)
        sentences.append(f"labels that differ by case or spaces only are one: {others} read as `{name}`")
    blank = next((name for name in counts if folded(name) in SAYS_NOTHING), None)
    if blank is not None:
        sentences.append(
            f"`{blank}` ({rows_in_words(counts[blank])}) is read as a label like the others; if it stands for none, "
            "empty these cells, and their texts are read without a label"
        )
    if not several and not differing and not headers:
        return Labels(sentences=tuple(sentences))
    values: dict[str, str | None] = {name: usual[same] for same, names in spelled.items() for name in names}
    values |= dict.fromkeys([*several, *([column] if headers else [])])
    return Labels(_sorted(usual.values()), values, tuple(sentences))


def named(labels: Labels, cells: Sequence[Any], names: Sequence[str]) -> Labels:
    """Labels by the names that the user gives them, where the file has numbers other than their ids, or true and false:
    the smallest value is the first name. Words are never renamed, since their order would be a guess."""
    raw = labels.names or _sorted({name_of(cell) for cell in cells if not is_empty(cell)})
    ids = {str(number) for number in range(len(names))}
    in_order = all(map(is_number, raw)) or {folded(name) for name in raw} == {"false", "true"}
    if not in_order or len(raw) != len(names) or set(raw) <= ids or set(raw) & set(names):
        return labels
    called = dict(zip(raw, names, strict=True))
    values = {
        value: None if name is None else called[name]
        for value, name in (labels.values or dict(zip(raw, raw, strict=True))).items()
    }
    told = ", ".join(f"`{value}` is `{name}`" for value, name in called.items())
    return Labels(tuple(names), values, (*labels.sentences, f"labels by the names of --labels: {told}"))


def rows_in_words(count: int) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def _said_of_several(several: dict[str, tuple[str, ...]], counts: Counter[str], column: str, data: Path) -> str:
    rows, example = sum(counts[name] for name in several), next(iter(several))
    if rows > MOST_LEFT_OUT * counts.total():
        raise DataError(
            f"{data}: {rows:,} of {counts.total():,} labelled rows have several labels in the column `{column}`, such "
            f"as `{example}`, and a student here gives each text one: keep the label that matters most, or make a "
            "column of yes and no for each label and name one with --label"
        )
    return (
        f"{rows_in_words(rows)} with several labels, such as `{example}`, left out, since a student here gives each "
        "text one: `values:` in the recipe can name the one that counts"
    )


def _sorted(names: Any) -> tuple[str, ...]:
    """As a data set sorts them: by number, where all are numbers."""
    listed = sorted(names)
    return tuple(sorted(listed, key=float) if all(map(is_number, listed)) else listed)
