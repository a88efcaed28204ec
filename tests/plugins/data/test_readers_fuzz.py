"""Whatever is in a data set's file: a data set or one sentence, never another exception and never a hang."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cod_runner.api import BuildContext, CodrunError, LoadedData
from cod_runner.registry import Registry

SECONDS = 10
ROWS = [
    ("a fine film", "pos"),
    ("dull", "neg"),
    ('so "good", really', "pos"),
    ("two\nlines", "neg"),
    ("café\t☕", "pos"),
]


def table_of(rows: int, **options: Any) -> bytes:
    written = io.BytesIO()
    columns = {
        "text": [f"{text} {n}" for n in range(rows) for text, _ in ROWS],
        "label": [n % 2 for n in range(5 * rows)],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), written, **options)
    return written.getvalue()


def delimited(mark: str) -> bytes:
    quoted = "".join(f'"{text.replace(chr(34), chr(34) * 2)}"{mark}{label}\n' for text, label in ROWS)
    return f"text{mark}label\n{quoted}".encode()


GOOD: dict[str, list[bytes]] = {
    "csv": [delimited(","), b"\xef\xbb\xbf" + delimited(",").replace(b"\n", b"\r\n"), b'text,label\na,1\nb,"0"\n'],
    "tsv": [delimited("\t"), b"label\ttext\tmore\n1\ta b\t\n0\tc\t\n"],
    "jsonl": [
        "\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS).encode(),
        b'{"text": "a", "label": 1, "more": [{"x": null}]}\n\n{"text": "b\\ud83d\\ude00", "label": 0.0}\n',
    ],
    "parquet": [table_of(2), table_of(400, row_group_size=50), table_of(40, compression="gzip", use_dictionary=False)],
}
"""Files that can be read, by the name of the reader."""
ODD = [
    b"\0", b'"', b'""', b",", b"\t", b"\n", b"\r", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\\", b"\\ud83d",
    b"[" * 3_000, b"[" * 900 + b"]" * 900, b"{" * 50, b"}", b"9" * 5_000, b"-", b"1e999", b"NaN", b"null", b"true",
    b"\x1b[2J", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\x1a", b"a" * 140_000, b"PAR1", b"\xff\xff\xff\x7f", b"",
]  # fmt: skip
"""What is put into good files."""
OPTIONS: list[dict[str, Any]] = [
    {},
    {"labels": ["neg", "pos"]},
    {"labels": ["neg", "pos"], "where": {"label": [1, "pos"]}},
    {"values": {"pos": "b", "neg": "a", 1: "b", 0: "a", "": None}},
    {"text": "label", "label": "text"},
    {"label": "more"},
    {"max_characters": 5, "hold_out": {"validation": {"of": "train", "rows": 1}}},
]
ENCODINGS = ["utf-8", "utf-16", "utf-32", "utf-7", "cp1252", "shift_jis", "gb18030", "hz", "iso2022_jp", "utf-8-sig"]


@st.composite
def damaged(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """A good file with up to four changes; or any bytes at all."""
    data = draw(st.sampled_from(good) | st.binary(max_size=300))
    for _ in range(draw(st.integers(0, 4))):
        at, to = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        change = draw(st.sampled_from(["cut", "end", "twice", "put", "flip", "swap"]))
        if change == "cut":
            data = data[:at] + data[to:]
        elif change == "end":
            data = data[:at]
        elif change == "twice":
            data = data[:to] + data[at:to] + data[to:]
        elif change == "put":
            data = data[:at] + draw(st.sampled_from(ODD)) + data[at:]
        elif change == "flip":
            data = data[:at] + bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : at + 1]) + data[at + 1 :]
        else:
            data = data[to:] + data[at:to] + data[:at]
    return data


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise ``TimeoutError`` inside a block that takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done in {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry()
    found.register("data", "codrun_data.plugin", lambda: __import__("codrun_data.plugin").plugin)
    return found


def check(load: Callable[[], LoadedData]) -> None:
    """What is loaded can be used and written down; what is not says why on one line."""
    try:
        with at_most(SECONDS):
            loaded = load()
    except CodrunError as error:
        assert 0 < len(str(error)) < 4_000
        assert "\n" not in str(error)
        return
    rows = [example for split in loaded.splits.values() for example in split]
    assert rows
    assert all(isinstance(example.input, str) for example in rows)
    assert {example.label for example in rows} <= set(range(-1, len(loaded.labels)))
    assert all(name.strip() for name in loaded.labels)
    json.dumps([loaded.labels, [example.input for example in rows]], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "examples", [pytest.param(300, id="short"), pytest.param(20_000, id="long", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("use", list(GOOD))
def test_any_file_is_a_data_set_or_one_sentence(registry: Registry, tmp_path: Path, use: str, examples: int) -> None:
    path = tmp_path / "file"

    @settings(max_examples=examples)
    @given(damaged(GOOD[use]), st.sampled_from(OPTIONS), st.sampled_from(ENCODINGS[:1] * 20 + ENCODINGS), st.booleans())
    def any_file(content: bytes, options: dict[str, Any], encoding: str, quotes: bool) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        said = {**options, "path": str(path)}
        if use != "parquet":
            said["encoding"] = encoding
        if use in ("csv", "tsv") and not quotes:
            said["quote"] = None
        check(lambda: registry.build("dataset", use, said, BuildContext(folder=tmp_path)).load())

    any_file()


def test_the_good_files_are_good(registry: Registry, tmp_path: Path) -> None:
    for use, files in GOOD.items():
        for content in files:
            (tmp_path / "file").write_bytes(content)
            assert registry.build("dataset", use, {"path": "file"}, BuildContext(folder=tmp_path)).load().labels
