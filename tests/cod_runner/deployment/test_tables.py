"""Files of texts are read row by row, in the form that `codrun new recipe` finds, and written with new columns."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from cod_runner.deployment import tables
from cod_runner.deployment.row_writer import check_out, row_writer
from cod_runner.deployment.tables import opened_table, text_column
from cod_runner.errors import CodrunError, DataError, RecipeError

ROWS = [{"id": "1", "text": "good; really"}, {"id": "2", "text": "café,\nbad"}, {"id": "3", "text": ""}]
CSV = 'id,text\n1,good; really\n2,"café,\nbad"\n\n3,\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.csv", CSV.encode("utf-8-sig")),
        ("a.csv", CSV.encode("cp1252")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.replace("\n", "\r\n").replace(",\r\nbad", ",\nbad").encode()),
        ("a.tsv", 'id\ttext\n1\tgood; really\n2\t"café,\nbad"\n3\t\n'.encode()),
        ("a.csv", 'id;text\n1;"good; really"\n2;"café,\nbad"\n3;\n'.encode()),
        ("a.jsonl", "".join(json.dumps(row) + "\n\n" for row in ROWS).encode()),
    ],
)
@pytest.mark.parametrize("head", [2_000_000, 30])
def test_every_form_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, head: int
) -> None:
    """Also where the form is told by the beginning of the file."""
    monkeypatch.setattr(tables, "HEAD", head * (2 if b"\0" in content or name == "a.jsonl" else 1))
    (tmp_path / name).write_bytes(content)
    table = opened_table(tmp_path / name)
    assert list(table.rows()) == ROWS
    assert list(table.rows()) == ROWS
    assert table.columns == ("id", "text")
    assert text_column(table, None)[0] == "text"


def test_a_head_that_ends_inside_a_quoted_text_does_not_change_the_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": str(row), "text": "a long text,\nof two lines"} for row in range(9)]
    content = "id,text\n" + "".join(f'{row["id"]},"{row["text"]}"\n' for row in rows)
    (tmp_path / "a.csv").write_text(content)
    monkeypatch.setattr(tables, "HEAD", content.index("\nof", 60) + 5)
    assert list(opened_table(tmp_path / "a.csv").rows()) == rows


def test_what_is_no_utf_8_behind_the_head_is_found_before_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "HEAD", 30)
    (tmp_path / "a.csv").write_bytes(b"id,text\n" + b"1,good enough\n" * 9 + b"2,caf\xe9\n")
    table = opened_table(tmp_path / "a.csv")
    assert table.form.endswith("encoded as cp1252 (it is not UTF-8)")
    assert list(table.rows())[-1] == {"id": "2", "text": "café"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"id,text\n1,a,b\n2,x\n", "a.csv:2: this row has 3 fields, and there are 2 columns (id, text)"),
        ("a.csv", b"id,text\n1,good\n2,\x81\xe9\n", "a.csv:3: the byte 0x81 is neither UTF-8 nor cp1252"),
        ("a.csv", b"id,text\n1,good\n2,a\0b\n", "a.csv:3: the file contains zero bytes"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl:2:10: this line is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "a.jsonl:2: a line must be a JSON object"),
        ("a.md", b"text\n", "files ending in `.md` cannot be read"),
        ("a.csv", b"", "the file is empty"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        list(opened_table(tmp_path / name).rows())
    assert said in str(raised.value)


def test_a_quote_that_is_never_closed_does_not_read_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "HEAD", 60)
    (tmp_path / "a.csv").write_text('id,text\n1,"a fine ""film"""\n2,good\n3,good\n4,good\n5,"' + "x\n" * 10_000_000)
    with pytest.raises(DataError, match=r"a\.csv:6: the row that begins here cannot be read \(field larger than"):
        list(opened_table(tmp_path / "a.csv").rows())


def test_a_column_that_is_missing_is_answered_with_its_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,review\n1,good\n2,bad\n")
    table = opened_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match="no column `reveiw` among `id`, `review`; did you mean `review`"):
        text_column(table, "reveiw")
    (tmp_path / "b.csv").write_text("id,n\n1,2\n2,3\n")
    with pytest.raises(DataError, match="no column contains texts; there are `id`, `n`: name one with --text"):
        text_column(opened_table(tmp_path / "b.csv"), None)


ADDED = ["predicted", "probability"]


def write(source: Path, out: Path) -> None:
    table = opened_table(source)
    check_out(out, table)
    with row_writer(out, table, ADDED) as writer:
        for row in table.rows():
            writer(
                [{**row, "predicted": "good" if row["text"] else None, "probability": 0.75 if row["text"] else None}]
            )


def test_every_column_is_kept_in_every_form(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text('id;text\n1;"good; really"\n2;\n')
    for name in ("b.csv", "b.tsv", "b.jsonl", "b.parquet"):
        write(source, tmp_path / name)
    assert (tmp_path / "b.csv").read_text() == 'id;text;predicted;probability\n1;"good; really";good;0.75\n2;;;\n'
    assert (
        tmp_path / "b.tsv"
    ).read_text() == "id\ttext\tpredicted\tprobability\n1\tgood; really\tgood\t0.75\n2\t\t\t\n"
    rows = [
        {"id": "1", "text": "good; really", "predicted": "good", "probability": 0.75},
        {"id": "2", "text": "", "predicted": None, "probability": None},
    ]
    assert [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()] == rows
    assert pyarrow.parquet.read_table(tmp_path / "b.parquet").to_pylist() == rows


def test_the_types_of_parquet_stay(tmp_path: Path) -> None:
    there = pyarrow.table({"n": pyarrow.array([1, None], pyarrow.int16()), "text": ["good film", "bad film"]})
    pyarrow.parquet.write_table(there, tmp_path / "a.parquet")
    write(tmp_path / "a.parquet", tmp_path / "b.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "b.parquet")
    assert found.schema.field("n").type == pyarrow.int16()
    assert found.select(["n", "text"]).equals(there)
    write(tmp_path / "a.parquet", tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().splitlines()[1:] == ["1,good film,good,0.75", ",bad film,good,0.75"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,good\n")
    (tmp_path / "b.csv").write_text("old")
    with (
        pytest.raises(KeyboardInterrupt),
        row_writer(tmp_path / "b.csv", opened_table(tmp_path / "a.csv"), ADDED) as done,
    ):
        done([{"id": "1", "text": "good", "predicted": "x", "probability": 1.0}])
        raise KeyboardInterrupt
    assert (tmp_path / "b.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_json_lines_with_a_new_column_late_in_the_file_do_not_fit_csv(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "bad"}\n')
    table = opened_table(tmp_path / "a.jsonl")
    with (
        pytest.raises(DataError, match="later row has other columns"),
        row_writer(tmp_path / "b.csv", table, []) as done,
    ):
        done([{"text": "good", "late": 1}])


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("b.txt", "a file's suffix says its form"),
        ("a.jsonl", "is the input itself"),
        ("b.parquet", "JSON lines have no fixed columns"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_out_that_cannot_be_is_refused_beforehand(tmp_path: Path, out: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n')
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RecipeError, match=said):
        check_out(tmp_path / out, opened_table(tmp_path / "a.jsonl"))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,good\n")
    table = opened_table(tmp_path / "a.csv")
    with pytest.raises(CodrunError, match="cannot be written"), row_writer(tmp_path / "a.csv" / "b.csv", table, []):
        pass


def test_the_line_of_a_bad_character_is_told_where_two_reads_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK", 5)  # which cuts `b` in two
    data = tmp_path / "a.csv"
    data.write_bytes(b"\xff\xfe" + "ab".encode("utf-16-le") + b"\x0a\xdc")  # half of a character that begins like \n
    with pytest.raises(DataError, match=r"a\.csv:1: the byte 0x0a is neither"):
        tables._encoding_of(data, "utf-16")
