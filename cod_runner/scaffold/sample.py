"""Inspects a data file of unknown form: format, encoding, delimiter, header, cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.scaffold.cells import few_values, folded, is_number, name_of
from cod_runner.scaffold.defaults import CSV, DATASETS, JSONL, PARQUET, TSV
from cod_runner.text_files import csv_rows, file_bytes, json_lines

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ROWS_LOOKED_AT = 20_000
NAMES_OF_COLUMNS = frozenset(
    "label labels class category sentiment target polarity rating stars topic text texts sentence review comment body "
    "content message title split set fold id".split()
)
"""A first row with one of these names the columns."""
WORDS_OF_A_TEXT = 5
"""A name of a column has fewer; a question of a survey may have more."""


@dataclass(frozen=True)
class Sample:
    """The head of a data file: ``columns[name]`` are the cells of its first rows, None where a row has none."""

    component: str
    """The data set component that reads the file."""
    form: str
    """The form in words."""
    columns: dict[str, list[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    """Options that the component needs besides path and columns."""
    doubts: tuple[str, ...] = ()
    """Sentences on what could be otherwise."""


def take_sample(path: Path, header: bool | None = None) -> Sample:
    """Inspect the file; ``header`` says whether its first row names the columns, None that this is to be guessed.

    Raises :class:`DataError` if it is missing or its form is unknown.
    """
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
    if component in (CSV, TSV):
        sample = _delimited(component, path, header)
    elif header is False:
        raise DataError(f"{path}: only CSV and TSV files can lack a header; the columns of this one have names")
    elif component == PARQUET:
        sample = Sample(component, "Parquet", _parquet_columns(path))
    else:
        text, options, encoded = _decoded(path)
        sample = Sample(JSONL, f"JSON lines{encoded}", _json_columns(path, text), options)
    if not any(sample.columns.values()):
        raise DataError(f"{path}: there are no rows")
    return sample


def guess_text_column(columns: dict[str, list[Any]]) -> tuple[str, float] | None:
    """The column with the longest texts, and their mean length in characters."""
    lengths = {}
    for name, cells in columns.items():
        texts = [cell for cell in cells if cell is not None]
        if texts and all(isinstance(text, str) for text in texts) and not all(is_number(text) for text in texts):
            lengths[name] = sum(map(len, texts)) / len(texts)
    return max(lengths.items(), key=lambda item: item[1]) if lengths else None


def _decoded(path: Path) -> tuple[str, dict[str, Any], str]:
    """(text, its encoding as an option, its encoding in words)."""
    data = file_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), {"encoding": "utf-16"}, ", encoded as UTF-16"
    try:
        return data.decode("utf-8-sig"), {}, ""
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), {"encoding": "cp1252"}, ", encoded as cp1252 (it is not UTF-8)"


def _delimited(component: str, path: Path, header: bool | None) -> Sample:
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
    form = f"columns separated by {DELIMITERS[delimiter]}{encoded}"
    form += "" if options.get("quote", '"') else ", quotes as ordinary characters"
    first = [cell.strip() for cell in rows[0]]
    repeated = None if header is not None or _names_columns(first) else _repeated_below(rows)
    named = header is not False and repeated is None
    names = first if named else [f"column_{number}" for number in range(1, len(first) + 1)]
    if not named:
        options["header"] = False
    body = rows[1:] if named else rows
    doubts = () if header is not None else _doubts(first, names, repeated)
    whole = [row for row in body if len(row) == len(names)]
    columns = {column: [row[place] for row in whole] for place, column in enumerate(names)}
    return Sample(component, form, columns, options, doubts)


def _names_columns(first: Sequence[str]) -> bool:
    """Whether a first row is surely a header; pandas writes one of numbers where columns have no names."""
    counted = [str(number) for number in range(len(first))]
    return first == counted or first == ["", *counted[:-1]] or any(cell.lower() in NAMES_OF_COLUMNS for cell in first)


def _repeated_below(rows: Sequence[Sequence[str]]) -> str | None:
    """A cell of the first row that is one of the few values of its column below: there, it is a label, not a name."""
    for place, cell in enumerate(rows[0]):
        below = few_values([row[place] for row in rows[1:] if len(row) == len(rows[0])])
        if cell.strip() and folded(name_of(cell)) in set(map(folded, below)):
            return cell.strip()
    return None


def _doubts(first: Sequence[str], names: Sequence[str], repeated: str | None) -> tuple[str, ...]:
    """What should be said of a guess that there is a header, or that there is none."""
    if repeated is not None:
        return (
            f"the first row is data, since its `{repeated:.60}` stands in rows below too, so the columns are called "
            f"{', '.join(names)}; if it names them, say --header",
        )
    like_a_text = next((cell for cell in first if len(cell.split()) >= WORDS_OF_A_TEXT), None)
    if like_a_text is None or _names_columns(first):
        return ()
    return (f"the first row names the columns, one of them `{like_a_text:.60}`; if it is data, say --no-header",)


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
    records = [record for _, record in islice(json_lines(text, str(path)), ROWS_LOOKED_AT)]
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


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
