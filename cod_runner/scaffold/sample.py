"""Inspects a data file of unknown form: format, encoding, delimiter, columns, cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.scaffold.defaults import CSV, DATASETS, JSONL, PARQUET, TSV
from cod_runner.text_files import csv_rows, file_bytes, json_lines

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ROWS_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Sample:
    """The head of a data file: ``columns[name]`` are the cells of its first rows."""

    component: str
    """The data set component that reads the file."""
    form: str
    """The form in words."""
    columns: dict[str, list[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    """Options that the component needs besides path and columns."""


def take_sample(path: Path) -> Sample:
    """Inspect the file; raises :class:`DataError` if it is missing or its form is unknown."""
    try:
        is_file = path.is_file()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not is_file:
        what = "this is not a regular file" if path.exists() else "there is no such file"
        raise DataError(f"{path}: {what}")
    component = DATASETS.get(path.suffix.lower())
    if component is None:
        raise DataError(f"{path}: files ending in `{path.suffix}` cannot be read; use one of {', '.join(DATASETS)}")
    if component == PARQUET:
        sample = Sample(component, "Parquet", _parquet_columns(path))
    elif component == JSONL:
        text, options, encoded = _decoded(path)
        sample = Sample(component, f"JSON lines{encoded}", _json_columns(path, text), options)
    else:
        sample = _delimited(component, path)
    if not any(sample.columns.values()):
        raise DataError(f"{path}: there are no rows")
    return sample


def _decoded(path: Path) -> tuple[str, dict[str, Any], str]:
    """(text, its encoding as an option, its encoding in words)."""
    data = file_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), {"encoding": "utf-16"}, ", encoded as UTF-16"
    try:
        return data.decode("utf-8-sig"), {}, ""
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), {"encoding": "cp1252"}, ", encoded as cp1252 (it is not UTF-8)"


def _delimited(component: str, path: Path) -> Sample:
    text, options, encoded = _decoded(path)
    delimiter = "\t" if component == TSV else _delimiter_of(text)
    if component == CSV and delimiter != ",":
        options["delimiter"] = delimiter
    rows = _rows_of(text, delimiter, '"', ROWS_LOOKED_AT + 1)
    if rows is None:
        options["quote"] = None
        rows = _rows_of(text, delimiter, None, ROWS_LOOKED_AT + 1)
    if not rows:
        raise DataError(f"{path}: the file is empty; its first line must name the columns")
    header = [column.strip() for column in rows[0]]
    whole = [row for row in rows[1:] if len(row) == len(header)]
    quotes = "" if options.get("quote", '"') else ", quotes as ordinary characters"
    return Sample(
        component,
        f"columns separated by {DELIMITERS[delimiter]}{encoded}{quotes}",
        {column: [row[place] for row in whole] for place, column in enumerate(header)},
        options,
    )


def _delimiter_of(text: str) -> str:
    """The delimiter that splits the first rows into equally many fields, and into the most."""

    def fit(delimiter: str) -> tuple[float, int]:
        rows = _rows_of(text, delimiter, '"', 50) or _rows_of(text, delimiter, None, 50)
        if not rows or len(rows[0]) < 2:
            return (0.0, 0)
        return (sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0]))

    return max(DELIMITERS, key=fit)


def _rows_of(text: str, delimiter: str, quote: str | None, most: int) -> list[list[str]] | None:
    """The first rows; None if the quotes do not match."""
    try:
        return [fields for _, fields in islice(csv_rows(text, "", delimiter=delimiter, quote=quote), most)]
    except DataError:
        return None


def _json_columns(path: Path, text: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for _, record in islice(json_lines(text, str(path)), ROWS_LOOKED_AT):
        for name, value in record.items():
            columns.setdefault(name, []).append(value)
    return columns


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_LOOKED_AT):
                return {str(name): cells for name, cells in batch.to_pydict().items()}
            return {name: [] for name in file.schema_arrow.names}
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: this is not a readable Parquet file ({error})") from error


LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "polarity", "rating", "stars", "topic")
MOST_LABELS = 20


def guess_text_column(columns: dict[str, list[Any]]) -> tuple[str, float] | None:
    """The column with the longest texts, and their mean length in characters."""
    lengths = {}
    for name, cells in columns.items():
        texts = [cell for cell in cells if cell is not None]
        if texts and all(isinstance(text, str) for text in texts) and not all(_is_number(text) for text in texts):
            lengths[name] = sum(map(len, texts)) / len(texts)
    return max(lengths.items(), key=lambda item: item[1]) if lengths else None


def guess_label_columns(columns: dict[str, list[Any]], text: str) -> list[str]:
    """Columns that could hold the labels, the likeliest first: few distinct values, each of them often; a typical name
    wins, then fewer gaps, fewer values, and the earlier column."""

    def rank(name: str) -> tuple[bool, int, int]:
        return (name.lower() not in LABEL_NAMES, _gaps(columns[name]), len(set(map(str, columns[name]))))

    return sorted((name for name in columns if name != text and _like_labels(columns[name])), key=rank)


def _like_labels(cells: Sequence[Any]) -> bool:
    if any(isinstance(cell, list | dict) for cell in cells):
        return False
    values = Counter(str(cell) for cell in cells if cell is not None and cell != "")
    return 2 <= len(values) <= min(MOST_LABELS, max(2, len(cells) // 4))


def _gaps(cells: Sequence[Any]) -> int:
    return sum(cell is None or cell == "" for cell in cells)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
