"""Reads the requested columns of a file, row by row, each with its position for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cod_runner.api import DataError, csv_rows, json_lines, read_text
from codrun_data.options import shown

MOST_LISTED = 30
"""Columns that a message lists."""


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
            hint = f"did you mean `{shown(near[0])}`? " if near else ""
            there = f"{hint}there are: {_listed(present)}{cure}"
            raise ColumnError(f"{name}: there is no column `{column}`; {there}", column)
        positions.append(list(present).index(column))
    return positions


def one_line(error: Exception) -> str:
    """The first line of a library's message, at most 200 characters."""
    return f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__:.200}".rstrip(".")


def _listed(columns: Sequence[str]) -> str:
    """Column names for a message: of very many only the first, of very long ones the beginning."""
    return ", ".join([*map(shown, columns[:MOST_LISTED]), *(["..."] if len(columns) > MOST_LISTED else [])])


@dataclass(frozen=True)
class Form:
    """How a file of rows and columns is written."""

    delimiter: str
    quote: str | None
    encoding: str
    quote_option: str | None = None
    """The option that sets ``quote``, if there is one."""
    header: bool = True
    """Whether the first row names the columns; else they are ``column_1``, ``column_2``, ..."""


def delimited(path: Path, form: Form) -> Table:
    """A CSV or TSV file."""

    def read(columns: Sequence[str]) -> Iterator[Row]:
        text = read_text(path, encoding=form.encoding, option="encoding")
        rows = csv_rows(text, str(path), delimiter=form.delimiter, quote=form.quote, option=form.quote_option)
        first = next(rows, None)
        if first is None:
            cure = "; its first line must name the columns" if form.header else ""
            raise DataError(f"{path}: the file is empty{cure}")
        names = [cell.strip() for cell in first[1]]
        header = names if form.header else [f"column_{number}" for number in range(1, len(names) + 1)]
        positions = column_positions(str(path), header, columns, _other_delimiter(names, form.delimiter))
        there = "the header" if form.header else "the first row"
        for number, (line, fields) in enumerate(rows if form.header else chain([first], rows), start=1):
            if len(fields) != len(header):
                raise DataError(
                    f"{path}:{line} (row {number}) has {len(fields)} fields, but {there} has {len(header)}; put "
                    f"texts that contain `{form.delimiter}` or a line break in double quotes"
                )
            yield Row(number, line, [fields[position] for position in positions])

    return Table(str(path), read)


def _other_delimiter(header: Sequence[str], delimiter: str) -> str:
    """A hint at the likely delimiter if the header was read as a single column."""
    if len(header) > 1:
        return ""
    names = {"\t": '"\\t"', ";": '";"', "|": '"|"', ",": '","'}
    found = [name for other, name in names.items() if other != delimiter and other in header[0]]
    return f"; the columns seem to be separated by another character: set `delimiter: {found[0]}`" if found else ""


def json_objects(path: Path, encoding: str, may_lack: Sequence[str] = ()) -> Table:
    """One JSON object per line; blank lines are skipped. A line may lack the keys ``may_lack``, which are then None, if
    another has them."""

    def read(columns: Sequence[str]) -> Iterator[Row]:
        records = json_lines(read_text(path, encoding=encoding, option="encoding"), str(path))
        never: dict[str, tuple[int, list[str]]] = {}  # keys that no line has had so far
        seen: set[str] = set()
        for number, (line, record) in enumerate(records, start=1):
            lacks = [column for column in columns if column not in record]
            if any(column not in may_lack for column in lacks):
                column_positions(f"{path}:{line}", list(record), columns)
            seen.update(column for column in columns if column in record)
            for column in lacks:
                never.setdefault(column, (line, list(record)))
            yield Row(number, line, [record.get(column) for column in columns])
        for column, (line, present) in never.items():
            if column not in seen:
                column_positions(f"{path}:{line}", present, [column])

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
        except (pyarrow.ArrowException, ArithmeticError, OSError, ValueError) as error:  # the last for single cells
            raise DataError(
                f"{path}: this is not a readable Parquet file, or it is damaged ({one_line(error)}); fetch it again"
            ) from error

    return Table(str(path), read)


def batch_rows(batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Row]:
    """Rows of pyarrow record batches."""
    number = 0
    for batch in batches:
        for cells in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
            number += 1
            yield Row(number, None, cells)
