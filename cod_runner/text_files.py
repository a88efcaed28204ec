"""Text files from anywhere, which may be damaged: each fault is one sentence with the file's name, the line and a cure.

Nothing here waits for a pipe, runs out of stack on nested brackets, or reads on past a quote that is never closed.
"""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError

LONGEST_FIELD = 2**31 - 1
"""Characters in one field of a CSV file, the most that Python's reader can be told to allow."""


def file_bytes(path: Path, *setting: str) -> bytes:
    """The content of a file; :class:`DataError` about ``setting`` for what is not one (a folder, a pipe, a device) or
    cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise DataError(f"{path} is {kind}, not a file; name the file that contains the data", *setting)
        return path.read_bytes()
    except MemoryError as error:
        raise DataError(f"{path} is larger than this machine's memory; split it", *setting) from error
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such file; relative paths start at the recipe's folder", *setting
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); check its name and permissions", *setting
        ) from error
    except ValueError as error:
        raise DataError(f"{str(path)!r} is not a file's name ({error}); name one that is there", *setting) from error


def read_text(path: Path, *setting: str, encoding: str = "utf-8", option: str | None = None) -> str:
    """A text file without its byte order mark, line breaks as they are.

    ``setting`` is as in :func:`file_bytes`; ``option`` is the name of the option that sets the encoding, for the cure,
    None where there is none. Raises :class:`DataError` for bytes that are not in this encoding and for zero bytes,
    with their line.
    """
    data = file_bytes(path, *setting)
    where = setting if option is None else (option,)
    try:
        text = data.decode("utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data[:start].count(b"\n") + 1
        cure = "save the file as UTF-8"
        if option is not None and data.startswith((b"\xff\xfe", b"\xfe\xff")):
            cure = f"the file begins like UTF-16: set `{option}: utf-16`, or {cure}"
        elif option is not None:
            cure = f"if it comes from a spreadsheet, set `{option}: cp1252`, or {cure}"
        byte = f"byte {start} (0x{data[start]:02x})" if start < len(data) else "the end of the file"
        raise DataError(f"{path}:{line}: {byte} is not {encoding}; {cure}", *where) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        cure = "" if option is None else f"; if it is UTF-16, set `{option}: utf-16`"
        raise DataError(
            f"{path}:{line}: the file contains zero bytes, so it is damaged or not text; fetch it again{cure}", *where
        )
    return text


def json_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line; blank ones are skipped. ``name`` is the file's, for :class:`DataError`."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except json.JSONDecodeError as error:
            raise DataError(f"{name}:{line}:{error.colno}: this line is not JSON ({error.msg})") from error
        except RecursionError as error:
            raise DataError(f"{name}:{line}: brackets are nested too deeply; a line must be one flat object") from error
        except ValueError as error:
            raise DataError(f"{name}:{line}: a number has too many digits; put it in quotes") from error
        if not isinstance(value, dict):
            raise DataError(f"{name}:{line}: a line must be a JSON object with the columns as keys")
        yield line, value


def csv_rows(
    text: str, name: str, *, delimiter: str = ",", quote: str | None = '"', option: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """(line it begins on, fields) of each row that is not empty; a field may be of any length.

    Raises :class:`DataError` at a quote that is not closed, or not where a field ends. ``name`` is the file's,
    ``option`` the name of the option that sets the quote, for the cure; None where there is none.
    """
    rows = csv.reader(
        StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
        strict=True,
    )
    while True:
        start = rows.line_num + 1
        try:
            fields = _next_row(rows)
        except csv.Error as error:
            if quote is None:
                raise DataError(f"{name}:{start}: this row cannot be read ({error})") from error
            opens = _line_of_open_quote(text, start, delimiter, quote)
            never = "end of data" in str(error)
            fault = "is never closed" if never else f"is closed within a field on line {rows.line_num}"
            cure = "double a quote inside a quoted text"
            if option is not None:
                cure += f", or set `{option}: null` if quotes are ordinary characters in this file"
            raise DataError(
                f"{name}:{opens}: the quotes do not match: the one that opens here {fault}; {cure}",
                *(() if option is None else (option,)),
            ) from error
        if fields is None:
            return
        if fields:
            yield start, fields


def streamed_csv_rows(
    lines: Iterable[str], name: str, *, delimiter: str = ",", quote: str | None = '"', longest: int = 2**24
) -> Iterator[tuple[int, list[str]]]:
    """:func:`csv_rows` of a file of any size, as its lines come, their ends included.

    No field has more than ``longest`` characters, so that a quote that is never closed does not read the rest of the
    file into memory.
    """
    rows = csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote,
        quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
        strict=True,
    )
    while True:
        start = rows.line_num + 1
        try:
            fields = _next_row(rows, longest)
        except csv.Error as error:
            raise DataError(
                f"{name}:{start}: the row that begins here cannot be read ({error}); double a quote inside a quoted "
                "text, and close it"
            ) from error
        if fields is None:
            return
        if fields:
            yield start, fields


def _next_row(rows: Iterator[list[str]], longest: int = LONGEST_FIELD) -> list[str] | None:
    """The reader's next row, None at the end. Python's limit on a field is one for the process: put back at once."""
    limit = csv.field_size_limit(longest)
    try:
        return next(rows, None)
    finally:
        csv.field_size_limit(limit)


def _line_of_open_quote(text: str, line: int, delimiter: str, quote: str) -> int:
    """The line of the first quoted field, from the row that begins on ``line``, that does not end as it should."""
    q, d = re.escape(quote), re.escape(delimiter)
    good = re.compile(rf"(?:{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}|(?!{q})[^{d}\r\n]*+)(?:{d}|\r\n|\r|\n)")
    breaks = re.compile("\r\n|\r|\n")
    ends = (found.end() for found in breaks.finditer(text))
    at = 0
    for _ in range(line - 1):
        at = next(ends)
    begin = at
    while (found := good.match(text, at)) is not None:
        at = found.end()
    return line + len(breaks.findall(text, begin, at))
