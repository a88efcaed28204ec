"""Text files that may be damaged: where a fault is, in one sentence, and never a hang."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from cod_runner.errors import DataError
from cod_runner.text_files import csv_rows, file_bytes, json_lines, read_text


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, sentence in {
        tmp_path / "pipe": "is a pipe or a device, not a file",
        Path("/dev/zero"): "is a pipe or a device, not a file",
        tmp_path: "is a folder, not a file",
        tmp_path / "none": "there is no such file",
        tmp_path / ("x" * 300): "cannot be read .File name too long",
        Path("x\0y"): "is not a file's name",
    }.items():
        with pytest.raises(DataError, match=sentence) as caught:
            file_bytes(path, "path")
        assert caught.value.setting == ("path",)


def test_a_byte_order_mark_is_dropped_and_line_breaks_stay(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\r\nb\rc\n"


def test_wrong_bytes_are_placed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(DataError, match=r"f:2: byte 3 \(0xff\) is not utf-8; save the file as UTF-8$"):
        read_text(path)
    with pytest.raises(DataError, match="set `charset: cp1252`") as caught:
        read_text(path, "path", option="charset")
    assert caught.value.setting == ("charset",)
    path.write_bytes(b"a\nb\n\0\0\0")
    with pytest.raises(DataError, match="f:3: the file contains zero bytes"):
        read_text(path)
    path.write_bytes(b"")
    assert read_text(path, encoding="utf-16") == ""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[" * 100_000, "f:2: brackets are nested too deeply"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "f:2: brackets are nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "f:2: a number has too many digits"),
        ("{oops", "f:2:2: this line is not JSON"),
        ("3", "f:2: a line must be a JSON object"),
    ],
)
def test_lines_that_are_no_objects(line: str, sentence: str) -> None:
    read = json_lines("{}\n" + line, "f")
    assert next(read) == (1, {})
    with pytest.raises(DataError, match=sentence):
        next(read)


@pytest.mark.parametrize(
    ("text", "opens", "fault"),
    [
        ('a,b\n"c,d\n' + "e,f\n" * 9, 2, "is never closed"),
        ('a,b\n"c\nc","d\ne,f\n', 3, "is never closed"),
        ('a,b\r\n"c\r\nc",""\r\n1,"2"\r\n3,"""4\r\ne,f\r\n', 5, "is never closed"),
        ('a,b\n"c,d\ne,f\n"g",h\n', 2, "is closed within a field on line 4"),
        ('a,b\n"c" d,e\n', 2, "is closed within a field on line 2"),
        ('a,b\nx y"z,"c\n', 2, "is never closed"),
    ],
)
def test_an_open_quote_is_found(text: str, opens: int, fault: str) -> None:
    with pytest.raises(DataError, match=rf"^f:{opens}: the quotes do not match: the one that opens here {fault}"):
        list(csv_rows(text, "f"))


def test_fields_of_any_length_and_pythons_own_limit_stays() -> None:
    before = csv.field_size_limit()
    rows = csv_rows("a,b\n" + "x" * 200_000 + ',"y\ny"\n\nz,\n', "f")
    assert [(line, len(fields[0]), fields[1]) for line, fields in rows] == [
        (1, 1, "b"),
        (2, 200_000, "y\ny"),
        (5, 1, ""),
    ]
    assert csv.field_size_limit() == before
