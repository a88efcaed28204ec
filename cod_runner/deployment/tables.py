"""A file of texts, read row by row, whatever its size: its form is detected as ``codrun new recipe`` does it."""

from __future__ import annotations

import codecs
import difflib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.scaffold.sample import Sample, guess_text_column, take_sample
from cod_runner.text_files import streamed_csv_rows

HEAD = 2_000_000
"""Bytes of a large file that tell its form and its columns."""
CHUNK = 1 << 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A file that can be read once and again, its rows never all in memory."""

    path: Path
    sample: Sample
    columns: tuple[str, ...]
    encoding: str
    lines: int
    """About how many rows there are: more where texts contain line breaks."""
    form: str
    """In words."""
    schema: Any = field(default=None, compare=False)
    """Of a Parquet file, pyarrow's."""

    def rows(self) -> Iterator[Row]:
        """Each row by its columns, in order; raises :class:`DataError` that names the line that cannot be read."""
        if self.schema is not None:
            return _parquet_rows(self.path)
        if "delimiter" in self._csv:
            return self._delimited_rows()
        return self._json_rows()

    @property
    def delimiter(self) -> str | None:
        """Between the columns; None where there is none."""
        return self._csv.get("delimiter")

    @property
    def _csv(self) -> dict[str, Any]:
        options = self.sample.options
        if not self.sample.form.startswith("columns"):
            return {}
        tabs = self.path.suffix.lower() in (".tsv", ".tab")
        return {"delimiter": "\t" if tabs else options.get("delimiter", ","), "quote": options.get("quote", '"')}

    def _delimited_rows(self) -> Iterator[Row]:
        with self.path.open(encoding=self.encoding, errors="strict", newline="") as file:
            rows = streamed_csv_rows(file, str(self.path), **self._csv)
            if self.sample.options.get("header", True):
                next(rows, None)
            for line, fields in rows:
                if len(fields) != len(self.columns):
                    raise DataError(
                        f"{self.path}:{line}: this row has {len(fields)} fields, and there are {len(self.columns)} "
                        f"columns ({', '.join(self.columns)}); put a text that contains the delimiter in quotes, or "
                        f"if each line is a text: `codrun predict STUDENT - < {self.path}`"
                    )
                yield dict(zip(self.columns, fields, strict=True))

    def _json_rows(self) -> Iterator[Row]:
        with self.path.open(encoding=self.encoding, errors="strict", newline="\n") as file:
            for line, content in enumerate(file, start=1):
                if not content.strip():
                    continue
                try:
                    row = json.loads(content)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{self.path}:{line}: this line is not JSON ({str(error)[:80]})") from error
                if not isinstance(row, dict):
                    raise DataError(f"{self.path}:{line}: a line must be a JSON object with the columns as keys")
                yield row


def opened_table(path: Path, header: bool | None = None) -> Table:
    """Inspect a CSV, TSV, JSONL or Parquet file; raises :class:`DataError` for one that cannot be read.

    ``header`` says whether the first row of a CSV or TSV file names its columns; None: guessed.
    """
    large = path.is_file() and path.stat().st_size > HEAD and path.suffix.lower() not in (".parquet", ".pq")
    sample = _sample_of_head(path, header) if large else take_sample(path, header)
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
        return Table(path, sample, tuple(sample.columns), "", rows, sample.form, schema)
    encoding, lines = _encoding_of(path, sample.options.get("encoding"))
    form = sample.form
    if encoding == "cp1252" and "encoding" not in sample.options:  # what is no UTF-8 stands behind the head
        form += ", encoded as cp1252 (it is not UTF-8)"
    return Table(path, sample, tuple(sample.columns), encoding, lines, form)


def text_column(table: Table, wanted: str | None) -> tuple[str, str]:
    """(the column that holds the texts, how it was chosen, in a sentence).

    Raises :class:`DataError` where ``wanted`` is not there, or, without it, no column holds texts.
    """
    there = ", ".join(f"`{name}`" for name in table.columns)
    if wanted is not None:
        if wanted not in table.columns:
            near = difflib.get_close_matches(wanted, table.columns, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise DataError(f"{table.path}: there is no column `{wanted}` among {there}{hint}")
        return wanted, f"texts: column `{wanted}`"
    filled = {name: [cell for cell in cells if cell != ""] for name, cells in table.sample.columns.items()}
    guessed = guess_text_column(filled)
    if guessed is None:
        raise DataError(f"{table.path}: no column contains texts; there are {there}: name one with --text")
    others = "" if len(table.columns) == 1 else "; --text names another"
    return guessed[0], f"texts: column `{guessed[0]}`, the longest ones{others}"


def _sample_of_head(path: Path, header: bool | None) -> Sample:
    """The sample of the first whole rows of a large file."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    with tempfile.TemporaryDirectory(prefix="codrun-") as folder:
        part = Path(folder) / f"head{path.suffix}"
        part.write_bytes(_whole_rows(head))
        try:
            return take_sample(part, header)
        except DataError as error:
            raise DataError(str(error).replace(str(part), str(path))) from error


def _whole_rows(head: bytes) -> bytes:
    """The bytes up to the last line end that no quote surrounds, or to the last one where quotes do not match."""
    newline = b"\n\0" if head.startswith(b"\xff\xfe") else b"\0\n" if head.startswith(b"\xfe\xff") else b"\n"
    last = end = head.rfind(newline)
    quotes = head.count(b'"', 0, end) if end >= 0 else 0
    while end >= 0 and quotes % 2:
        before = head.rfind(newline, 0, end)
        quotes -= head.count(b'"', max(0, before), end)
        end = before
    if end < 0:
        end = last
    return head if end < 0 else head[: end + len(newline)]


def _encoding_of(path: Path, known: str | None) -> tuple[str, int]:
    """(encoding of the whole file, its line ends): UTF-8 if all of it is, else what ``known`` or Windows calls it.

    Reads the file once, which takes far less time than to classify it, and finds before anything is answered what
    cannot be read. Raises :class:`DataError` for bytes that are not in this encoding, with their line.
    """
    encoding = "utf-8-sig" if known is None else known
    lines = 0
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                if encoding == "utf-8-sig":
                    return _encoding_of(path, "cp1252")
                # not of the chunk: the decoder has kept the beginning of a character from the one before
                line = lines + 1 + error.object[: error.start].count(b"\n")
                byte = f"0x{error.object[error.start]:02x}"
                raise DataError(
                    f"{path}:{line}: the byte {byte} is neither UTF-8 nor {encoding}; save the file as UTF-8"
                ) from error
            if "\0" in text:
                line = lines + 1 + text.count("\n", 0, text.index("\0"))
                raise DataError(f"{path}:{line}: the file contains zero bytes, so it is damaged or not text")
            if not chunk:
                return encoding, lines
            lines += text.count("\n")


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: this is not a readable Parquet file ({error})") from error
