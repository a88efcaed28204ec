"""Turns tables of raw rows into :class:`LoadedData`, for every data set of this plugin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cod_runner.api import DataError, Example, LoadedData
from codrun_data.labels import OMITTED, Labels, label_names
from codrun_data.options import JOINT, FileOptions, HoldOut, TableOptions, as_name, shown, shows_nothing
from codrun_data.readers import ColumnError, Row, Table


@dataclass
class _Filtered:
    """Rows of one split that passed the filters, with ``cells`` (text, raw label), and counts of the others."""

    table: Table
    """Where they were read."""
    rows: list[Row] = field(default_factory=list)
    read: int = 0
    not_matching: int = 0
    too_long: int = 0


def load_tables(options: TableOptions, tables: Mapping[str, Table], own_labels: Sequence[str] = ()) -> LoadedData:
    """Read every table, filter its rows, resolve labels and hold rows out.

    Ids are ``split:row``, with the split that the row was read from, or that its cell of ``split_column`` names. A row
    with an empty label cell has no label. Raises :class:`DataError` at the first fault, with its position and a cure.
    """
    notes: list[str] = []
    filtered: dict[str, _Filtered] = {}
    for split, table in tables.items():
        filtered |= _filtered(options, split, table, notes)
    source = next(iter(tables.values())).name
    raw = (row.cells[1] for each in filtered.values() for row in each.rows)
    labels = Labels(label_names(options, raw, source, own_labels), options)
    splits: dict[str, list[Example]] = {}
    for split, each in filtered.items():
        splits[split], omitted = _examples(split, each, labels)
        notes += _omissions(split, each, omitted, options)
        if not splits[split]:
            raise DataError(_nothing_left(each, omitted))
    if not labels.names:
        raise DataError(
            f"{source}: no row has a label in the column `{options.label}`; set `label:` to the column of the labels, "
            "or label some rows of each class",
            "label",
        )
    for new, hold_out in options.hold_out.items():
        _hold_out(splits, new, hold_out)
    if not (options.labels or options.values or own_labels):
        notes.append(f"labels were read from the column `{options.label}`: {', '.join(map(shown, labels.names))}")
    return LoadedData(labels.names, splits, tuple(notes))


def _filtered(options: TableOptions, split: str, table: Table, notes: list[str]) -> dict[str, _Filtered]:
    """The table's rows by split: all of ``split``, unless a column says otherwise."""
    column = options.split_column if isinstance(options, FileOptions) else None
    found: dict[str, _Filtered] = {} if column else {split: _Filtered(table)}
    allowed = [frozenset(values) for values in options.where.values()]
    longest = options.max_characters
    of_no_split = 0
    for row in _rows(options, column, table):
        texts, label, cell, conditions = row.cells
        if isinstance(options, FileOptions) and column:
            named = _split_of(options, cell, table, row)
            if named is None:
                of_no_split += 1
                continue
            split = named
        passed = found.setdefault(split, _Filtered(table))
        passed.read += 1
        if any(as_name(cell) not in values for cell, values in zip(conditions, allowed, strict=True)):
            passed.not_matching += 1
            continue
        text = _text(options, texts, table, row)
        _refuse_half_characters([*zip(options.text_columns, texts, strict=True), (options.label, label)], table, row)
        if longest is not None and len(text) > longest:
            passed.too_long += 1
            continue
        passed.rows.append(Row(row.number, row.line, (text, label)))
    if of_no_split:
        notes.append(f"{of_no_split:,} rows are omitted, since `split_values` omits their split")
    if not found:
        omitted = f"all {of_no_split:,} rows are omitted by `split_values`" if of_no_split else "there are no rows"
        raise DataError(f"{table.name}: {omitted}")
    return found


def _split_of(options: FileOptions, cell: object, table: Table, row: Row) -> str | None:
    """The split that a row belongs to; None for one that ``split_values`` omits."""
    named = "" if cell is None else as_name(cell)
    if named in options.split_values:
        return options.split_values[named]
    if shows_nothing(named):
        raise DataError(
            f"{table.place(row)}: the row has no split in column `{options.split_column}`; fill it in, or write "
            '`split_values: {"": train}`, with null to omit such rows',
            "split_values" if options.split_values else "split_column",
        )
    return named


def _text(options: TableOptions, texts: Sequence[object], table: Table, row: Row) -> str:
    """The input: one text, or several joined, empty ones left out."""
    parts = []
    for column, text in zip(options.text_columns, texts, strict=True):
        if text is not None and not isinstance(text, str):
            raise DataError(
                f"{table.place(row)}: column `{column}` holds {shown(text)}, which is not text; "
                "set `text:` to the text column",
                "text",
            )
        parts.append(text or "")
    return parts[0] if len(parts) == 1 else JOINT.join(part.strip() for part in parts if part.strip())


def _refuse_half_characters(cells: Sequence[tuple[str, object]], table: Table, row: Row) -> None:
    for column, cell in cells:
        if half := _half_character(cell):
            raise DataError(
                f"{table.place(row)}: column `{column}` holds half of a character ({half}), as texts do that were "
                "cut in the middle; correct it, or delete the row"
            )


def _half_character(cell: object) -> str | None:
    """The first half of a character in a text: JSON can write one, as in ``"\\ud83d"``, but no tokenizer takes it."""
    try:
        if isinstance(cell, str):
            cell.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return None


def _rows(options: TableOptions, split_column: str | None, table: Table) -> Iterator[Row]:
    """The table's rows of (texts, label, split or None, columns of ``where``); the error for a missing column points at
    its option."""
    texts = options.text_columns
    place = {options.label: ("label",)} | dict.fromkeys(texts, ("text",))
    if split_column is not None:
        place.setdefault(split_column, ("split_column",))
    wanted = [*texts, options.label, *([split_column] if split_column else []), *options.where]
    try:
        for row in table.read(wanted):
            cells = list(row.cells)
            split = cells.pop(len(texts) + 1) if split_column else None
            yield Row(row.number, row.line, (cells[: len(texts)], cells[len(texts)], split, cells[len(texts) + 1 :]))
    except ColumnError as error:
        raise DataError(str(error), *place.get(error.column, ("where", error.column))) from error


def _examples(split: str, filtered: _Filtered, labels: Labels) -> tuple[list[Example], int]:
    """The split's examples, and how many rows ``values`` omits."""
    examples = []
    omitted = 0
    for row in filtered.rows:
        text, raw = row.cells
        try:
            label = labels.resolve(raw)
        except LookupError as error:
            setting = "values" if labels.mapped else "labels"
            raise DataError(f"{filtered.table.place(row)}: {error.args[0]}", setting) from error
        if label == OMITTED:
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


def _nothing_left(filtered: _Filtered, by_value: int) -> str:
    name = filtered.table.name
    if filtered.read == 0:
        return f"{name}: there are no rows"
    return (
        f"{name}: all {filtered.read:,} rows are omitted: {filtered.not_matching:,} by `where`, "
        f"{filtered.too_long:,} by `max_characters`, {by_value:,} by `values`"
    )
