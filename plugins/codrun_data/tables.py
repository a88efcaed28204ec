"""Turns tables of raw rows into :class:`LoadedData`, for every data set of this plugin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cod_runner.api import DataError, Example, LoadedData
from codrun_data.labels import Labels, label_names
from codrun_data.options import HoldOut, TableOptions, as_name, shown
from codrun_data.readers import ColumnError, Row, Table


@dataclass
class _Filtered:
    """Rows of one split that passed the filters, with ``cells`` (text, raw label), and counts of the others."""

    rows: list[Row] = field(default_factory=list)
    read: int = 0
    not_matching: int = 0
    too_long: int = 0


def load_tables(options: TableOptions, tables: Mapping[str, Table], own_labels: Sequence[str] = ()) -> LoadedData:
    """Read every table, filter its rows, resolve labels and hold rows out.

    Ids are ``split:row``, with the split that the row was read from. Raises :class:`DataError` at the first fault,
    with its position and a cure.
    """
    filtered = {split: _filtered(options, table) for split, table in tables.items()}
    source = next(iter(tables.values())).name
    raw = (row.cells[1] for each in filtered.values() for row in each.rows)
    labels = Labels(label_names(options, raw, source, own_labels), options)
    splits: dict[str, list[Example]] = {}
    notes = []
    for split, each in filtered.items():
        splits[split], omitted = _examples(split, each, tables[split], labels)
        notes += _omissions(split, each, omitted, options)
        if not splits[split]:
            raise DataError(_nothing_left(tables[split].name, each, omitted))
    for new, hold_out in options.hold_out.items():
        _hold_out(splits, new, hold_out)
    if not (options.labels or options.values or own_labels):
        notes.append(f"labels were read from the column `{options.label}`: {', '.join(map(shown, labels.names))}")
    return LoadedData(labels.names, splits, tuple(notes))


def _filtered(options: TableOptions, table: Table) -> _Filtered:
    passed = _Filtered()
    allowed = [frozenset(values) for values in options.where.values()]
    longest = options.max_characters
    for row in _rows(options, table):
        passed.read += 1
        text, label, *conditions = row.cells
        if any(as_name(cell) not in values for cell, values in zip(conditions, allowed, strict=True)):
            passed.not_matching += 1
            continue
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise DataError(
                f"{table.place(row)}: column `{options.text}` holds {shown(text)}, which is not text; "
                "set `text:` to the text column",
                "text",
            )
        for column, cell in ((options.text, text), (options.label, label)):
            if half := _half_character(cell):
                raise DataError(
                    f"{table.place(row)}: column `{column}` holds half of a character ({half}), as texts do that were "
                    "cut in the middle; correct it, or delete the row"
                )
        if longest is not None and len(text) > longest:
            passed.too_long += 1
            continue
        passed.rows.append(Row(row.number, row.line, (text, label)))
    return passed


def _half_character(cell: object) -> str | None:
    """The first half of a character in a text: JSON can write one, as in ``"\\ud83d"``, but no tokenizer takes it."""
    try:
        if isinstance(cell, str):
            cell.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return None


def _rows(options: TableOptions, table: Table) -> Iterator[Row]:
    """The table's rows of (text, label, columns of ``where``); the error for a missing column points at its option."""
    columns = {options.label: ("label",), options.text: ("text",)}
    try:
        yield from table.read([options.text, options.label, *options.where])
    except ColumnError as error:
        raise DataError(str(error), *columns.get(error.column, ("where", error.column))) from error


def _examples(split: str, filtered: _Filtered, table: Table, labels: Labels) -> tuple[list[Example], int]:
    """The split's examples, and how many rows ``values`` omits."""
    examples = []
    omitted = 0
    for row in filtered.rows:
        text, raw = row.cells
        try:
            label = labels.resolve(raw)
        except LookupError as error:
            raise DataError(f"{table.place(row)}: {error.args[0]}", "values" if labels.mapped else "labels") from error
        if label is None:
            omitted += 1
        else:
            examples.append(Example(f"{split}:{row.number}", text, label))
    return examples, omitted


def _hold_out(splits: dict[str, list[Example]], new: str, wanted: HoldOut) -> None:
    """Move the rows whose ids, salted or not, have the lowest hashes, whatever the seed and the reading order."""
    of, count = wanted.of, wanted.rows
    if new in splits:
        raise DataError(f"`hold_out` would create the split `{new}`, which already exists", "hold_out", new)
    if of not in splits:
        there = ", ".join(splits)
        raise DataError(
            f"`hold_out` takes `{new}` from the split `{of}`, which does not exist; there are: {there}",
            "hold_out",
            new,
            "of",
        )
    if count >= len(splits[of]):
        have = f"{len(splits[of]):,}"
        raise DataError(
            f"`hold_out` asks for {count:,} rows of the split `{of}`, which has only {have}", "hold_out", new, "rows"
        )
    before = "" if wanted.salt is None else f"{wanted.salt}\0"

    def rank(example: Example) -> bytes:
        return hashlib.sha256(f"{before}{example.id}".encode("utf-8", "surrogatepass")).digest()

    ranked = sorted(splits[of], key=rank)
    chosen = {example.id for example in ranked[:count]}
    splits[new] = [example for example in splits[of] if example.id in chosen]
    splits[of] = [example for example in splits[of] if example.id not in chosen]


def _omissions(split: str, filtered: _Filtered, by_value: int, options: TableOptions) -> list[str]:
    reasons = []
    if filtered.not_matching:
        wanted = " and ".join(f"{column} is {' or '.join(values)}" for column, values in options.where.items())
        reasons.append(f"{filtered.not_matching:,} not where {wanted}")
    if filtered.too_long:
        reasons.append(f"{filtered.too_long:,} longer than {options.max_characters:,} characters")
    if by_value:
        reasons.append(f"{by_value:,} whose label `values` omits")
    if not reasons:
        return []
    rows = len(filtered.rows) - by_value
    return [f"split `{split}`: {rows:,} of {filtered.read:,} rows are used; omitted: {', '.join(reasons)}"]


def _nothing_left(name: str, filtered: _Filtered, by_value: int) -> str:
    if filtered.read == 0:
        return f"{name}: there are no rows"
    return (
        f"{name}: all {filtered.read:,} rows are omitted: {filtered.not_matching:,} by `where`, "
        f"{filtered.too_long:,} by `max_characters`, {by_value:,} by `values`"
    )
