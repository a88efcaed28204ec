"""From tables of raw rows to :class:`LoadedData`: the part that every data set of this plugin shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cod_runner.api import DataError, Example, LoadedData
from codrun_data.labels import Labels, label_names
from codrun_data.options import TableOptions, as_name
from codrun_data.readers import ColumnError, Row, Table


@dataclass
class _Kept:
    """Rows of one split that passed the filters; ``cells`` of each are (text, raw label)."""

    rows: list[Row] = field(default_factory=list)
    read: int = 0
    elsewhere: int = 0
    too_long: int = 0


def load_tables(options: TableOptions, tables: Mapping[str, Table], own_labels: Sequence[str] = ()) -> LoadedData:
    """Read every table, filter, resolve labels, set held-out rows apart.

    Ids are ``split:row``, the split being the one that the row was read from. Raises :class:`DataError` at the
    first fault, with its place and a cure.
    """
    kept = {split: _filtered(options, table) for split, table in tables.items()}
    source = next(iter(tables.values())).name
    raw = (row.cells[1] for each in kept.values() for row in each.rows)
    labels = Labels(label_names(options, raw, source, own_labels), options)
    splits: dict[str, list[Example]] = {}
    notes = []
    for split, each in kept.items():
        splits[split], left_out = _examples(split, each, tables[split], labels)
        notes += _left_out(split, each, left_out, options)
        if not splits[split]:
            raise DataError(_nothing_left(tables[split].name, each, left_out))
    for new, hold_out in options.hold_out.items():
        _hold_out(splits, new, hold_out.of, hold_out.rows)
    if not (options.labels or options.values or own_labels):
        notes.append(f"labels were read from the column `{options.label}`: {', '.join(labels.names)}")
    return LoadedData(labels.names, splits, tuple(notes))


def _filtered(options: TableOptions, table: Table) -> _Kept:
    kept = _Kept()
    allowed = [frozenset(values) for values in options.where.values()]
    longest = options.max_characters
    for row in _rows(options, table):
        kept.read += 1
        text, label, *filtered = row.cells
        if any(as_name(cell) not in values for cell, values in zip(filtered, allowed, strict=True)):
            kept.elsewhere += 1
            continue
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise DataError(
                f"{table.place(row)}: column `{options.text}` holds {text!r:.40}, which is not text; "
                "set `text:` to the column of the texts",
                "text",
            )
        if longest is not None and len(text) > longest:
            kept.too_long += 1
            continue
        kept.rows.append(Row(row.number, row.line, (text, label)))
    return kept


def _rows(options: TableOptions, table: Table) -> Iterator[Row]:
    """The table's rows of (text, label, columns of ``where``); a column that is not there points at its option."""
    columns = {options.label: ("label",), options.text: ("text",)}
    try:
        yield from table.read([options.text, options.label, *options.where])
    except ColumnError as error:
        raise DataError(str(error), *columns.get(error.column, ("where", error.column))) from error


def _examples(split: str, kept: _Kept, table: Table, labels: Labels) -> tuple[list[Example], int]:
    """The split's examples, and how many rows ``values`` left out."""
    examples = []
    left_out = 0
    for row in kept.rows:
        text, raw = row.cells
        try:
            label = labels.resolve(raw)
        except LookupError as error:
            raise DataError(f"{table.place(row)}: {error.args[0]}", "values" if labels.mapped else "labels") from error
        if label is None:
            left_out += 1
        else:
            examples.append(Example(f"{split}:{row.number}", text, label))
    return examples, left_out


def _hold_out(splits: dict[str, list[Example]], new: str, of: str, count: int) -> None:
    """Move ``count`` rows, those whose ids hash lowest, so that no seed and no order of reading decides."""
    if new in splits:
        raise DataError(f"`hold_out` would make the split `{new}`, which the data has already", "hold_out", new)
    if of not in splits:
        there = ", ".join(splits)
        raise DataError(
            f"`hold_out` takes `{new}` from the split `{of}`, which is not there: {there} are", "hold_out", new, "of"
        )
    if count >= len(splits[of]):
        have = f"{len(splits[of]):,}"
        raise DataError(
            f"`hold_out` asks for {count:,} rows of the split `{of}`, which has only {have}", "hold_out", new, "rows"
        )
    ranked = sorted(splits[of], key=lambda example: hashlib.sha256(example.id.encode()).digest())
    chosen = {example.id for example in ranked[:count]}
    splits[new] = [example for example in splits[of] if example.id in chosen]
    splits[of] = [example for example in splits[of] if example.id not in chosen]


def _left_out(split: str, kept: _Kept, by_value: int, options: TableOptions) -> list[str]:
    reasons = []
    if kept.elsewhere:
        wanted = " and ".join(f"{column} is {' or '.join(values)}" for column, values in options.where.items())
        reasons.append(f"{kept.elsewhere:,} not where {wanted}")
    if kept.too_long:
        reasons.append(f"{kept.too_long:,} longer than {options.max_characters:,} characters")
    if by_value:
        reasons.append(f"{by_value:,} whose label `values` leaves out")
    if not reasons:
        return []
    rows = len(kept.rows) - by_value
    return [f"split `{split}`: {rows:,} of {kept.read:,} rows are used; left out: {', '.join(reasons)}"]


def _nothing_left(name: str, kept: _Kept, by_value: int) -> str:
    if kept.read == 0:
        return f"{name}: there are no rows"
    return (
        f"{name}: none of the {kept.read:,} rows is left: `where` took {kept.elsewhere:,}, "
        f"`max_characters` {kept.too_long:,}, `values` {by_value:,}"
    )
