"""Rows written to a CSV, TSV, JSONL or Parquet file as they come; the file appears when all of them are there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cod_runner.deployment.tables import Row, Table
from cod_runner.errors import DataError, RecipeError
from cod_runner.files import file_written_whole

SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq")
Write = Callable[[Sequence[Row]], None]


def check_out(out: Path, table: Table) -> None:
    """Raise :class:`RecipeError` where ``out`` has no suffix of :data:`SUFFIXES`, or is the input itself."""
    if out.suffix.lower() not in SUFFIXES:
        raise RecipeError(f"--out {out}: a file's suffix says its form: use one of {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise RecipeError(f"--out {out} is a folder; name a file in it")
    if out.exists() and out.samefile(table.path):
        raise RecipeError(f"--out {out} is the input itself, which is never changed; name another file")
    if out.suffix.lower() in (".parquet", ".pq") and table.delimiter is None and table.schema is None:
        raise RecipeError("JSON lines have no fixed columns, which Parquet needs; use --out with .jsonl or .csv")


@contextmanager
def row_writer(out: Path, table: Table, added: Sequence[str]) -> Iterator[Write]:
    """A function that writes rows of ``table`` with the columns ``added``; ``out`` appears when the block ends well.

    An interrupted or failed block leaves ``out`` as it was. UTF-8; CSV has the delimiter of the input, or commas.
    """
    suffix = out.suffix.lower()
    with file_written_whole(out) as temporary:
        if suffix in (".parquet", ".pq"):
            with _parquet(temporary, table, added) as write:
                yield write
        elif suffix in (".jsonl", ".ndjson"):
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                yield lambda rows: file.writelines(
                    json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows
                )
        else:
            delimiter = "\t" if suffix in (".tsv", ".tab") else table.delimiter or ","
            if suffix == ".csv" and delimiter == "\t":
                delimiter = ","
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                writer = csv.DictWriter(
                    file, [*table.columns, *added], delimiter=delimiter, lineterminator="\n", extrasaction="raise"
                )
                writer.writeheader()
                yield lambda rows: _write_csv(writer, rows, table)


def _write_csv(writer: csv.DictWriter[str], rows: Sequence[Row], table: Table) -> None:
    try:
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})
    except ValueError as error:
        raise DataError(
            f"{table.path}: a later row has other columns than the first ones ({error}); use --out with .jsonl"
        ) from error


def _cell(value: Any) -> str:
    """A value as a field of CSV; what JSON or Parquet nest is JSON in it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict | bool) else str(value)


@contextmanager
def _parquet(temporary: Path, table: Table, added: Sequence[str]) -> Iterator[Write]:
    import pyarrow
    import pyarrow.parquet

    texts = {name for name in added if not name.startswith(("probability", "teacher_probability"))}
    fields = [(name, pyarrow.string() if name in texts else pyarrow.float64()) for name in added]
    there = table.schema or pyarrow.schema([(name, pyarrow.string()) for name in table.columns])
    schema = pyarrow.schema([*there, *(pyarrow.field(*each) for each in fields)])
    with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
        yield lambda rows: writer.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema))
