"""Reads the requested columns of a file, row by row, each with its position for error messages."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from cod_runner.api import DataError


@dataclass(frozen=True)
class Row:
    """One row: its number in the file (from 1), the line it starts on if the file has lines, and its cells in the
    order of the requested columns."""

    number: int
    line: int | None
    cells: Sequence[Any]


@dataclass(frozen=True)
class Table:
    """One split of a data set. ``read`` takes column names; ``name`` appears in error messages."""

    name: str
    read: Callable[[Sequence[str]], Iterator[Row]]

    def place(self, row: Row) -> str:
        """Position of a row: ``file:line (row n)``, or ``file, row n``."""
        return f"{self.name}, row {row.number}" if row.line is None else f"{self.name}:{row.line} (row {row.number})"


class ColumnError(DataError):
    """A column that is missing or not unique."""

    def __init__(self, sentence: str, column: str) -> None:
        super().__init__(sentence)
        self.column = column


def column_positions(name: str, present: Sequence[str], wanted: Sequence[str], cure: str = "") -> list[int]:
    """Index of each wanted column; :class:`ColumnError` suggests the closest name for one that is missing."""
    positions = []
    for column in wanted:
        if present.count(column) > 1:
            times = f"{present.count(column)} times"
            raise ColumnError(f"{name}: the column `{column}` occurs {times}; rename all but one", column)
        if column not in present:
            near = difflib.get_close_matches(column, present, 1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`? " if near else ""
            there = f"{hint}there are: {', '.join(present)}{cure}"
            raise ColumnError(f"{name}: there is no column `{column}`; {there}", column)
        positions.append(list(present).index(column))
    return positions


def delimited(path: Path, delimiter: str, quote: str | None, encoding: str) -> Table:
    """A CSV or TSV file with a header line."""

    def read(columns: Sequence[str]) -> Iterator[Row]:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        lines = csv.reader(
            StringIO(_decoded(path, encoding), newline=""),
            delimiter=delimiter,
            quotechar=quote,
            quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
            strict=True,
        )
        start = 1
        try:
            header = next(lines, None)
            if not header:
                raise DataError(f"{path}: the file is empty; its first line must name the columns")
            header = [column.strip() for column in header]
            positions = column_positions(str(path), header, columns, _other_delimiter(header, delimiter))
            start = lines.line_num + 1
            number = 0
            for fields in lines:
                if fields:
                    number += 1
                    if len(fields) != len(header):
                        raise DataError(
                            f"{path}:{start} (row {number}) has {len(fields)} fields, but the header has "
                            f"{len(header)}; put texts that contain `{delimiter}` or a line break in double quotes"
                        )
                    yield Row(number, start, [fields[position] for position in positions])
                start = lines.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}:{start}: the quotes do not match ({error}); double a quote inside a quoted text, or set "
                "`quote: null` if quotes are ordinary characters in this file",
                "quote",
            ) from error

    return Table(str(path), read)


def _other_delimiter(header: Sequence[str], delimiter: str) -> str:
    """A hint at the likely delimiter if the header was read as a single column."""
    if len(header) > 1:
        return ""
    names = {"\t": '"\\t"', ";": '";"', "|": '"|"', ",": '","'}
    found = [name for other, name in names.items() if other != delimiter and other in header[0]]
    return f"; the columns seem to be separated by another character: set `delimiter: {found[0]}`" if found else ""


def json_lines(path: Path, encoding: str) -> Table:
    """One JSON object per line; blank lines are skipped."""

    def read(columns: Sequence[str]) -> Iterator[Row]:
        number = 0
        for line, text in enumerate(_decoded(path, encoding).split("\n"), start=1):
            if not text.strip():
                continue
            number += 1
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{line}:{error.colno}: this line is not JSON ({error.msg})") from error
            if not isinstance(record, dict):
                raise DataError(f"{path}:{line}: a line must be a JSON object with the columns as keys")
            if any(column not in record for column in columns):
                column_positions(f"{path}:{line}", list(record), columns)
            yield Row(number, line, [record[column] for column in columns])

    return Table(str(path), read)


def parquet(path: Path) -> Table:
    """A Parquet file, read batch by batch."""

    def read(columns: Sequence[str]) -> Iterator[Row]:
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                column_positions(str(path), file.schema_arrow.names, columns)
                batches = file.iter_batches(columns=list(dict.fromkeys(columns)))
                yield from batch_rows(batches, columns)
        except pyarrow.ArrowException as error:
            raise DataError(f"{path}: this is not a readable Parquet file ({error})") from error

    return Table(str(path), read)


def batch_rows(batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Row]:
    """Rows of pyarrow record batches."""
    number = 0
    for batch in batches:
        for cells in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
            number += 1
            yield Row(number, None, cells)


def _decoded(path: Path, encoding: str) -> str:
    """The file's text without a byte order mark; :class:`DataError` names the line of the first invalid byte."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data[:start].count(b"\n") + 1
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            cure = "the file begins like UTF-16: set `encoding: utf-16`"
        else:
            cure = "if it comes from a spreadsheet, set `encoding: cp1252`"
        raise DataError(
            f"{path}:{line}: byte {start} (0x{data[start]:02x}) is not {encoding}; {cure}, or save the file as UTF-8",
            "encoding",
        ) from error
