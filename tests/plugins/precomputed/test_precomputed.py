"""The generator `precomputed`: pairs from a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import BuildContext, DataError, Request
from codrun_precomputed.generator import Precomputed
from codrun_precomputed.plugin import PrecomputedOptions


class Teacher:
    labels = ("negative", "positive")


def build(path: Path, **options: Any) -> Precomputed:
    return Precomputed(PrecomputedOptions(path=str(path), **options), BuildContext())


def propose(generator: Precomputed, text: str, target: int = 0) -> list[str]:
    teacher: Any = Teacher()
    return [str(one.input) for one in generator.propose([Request("a", text, 1 - target, target)], teacher)[0]]


def test_case_and_white_space_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text('original,counterfactual\n"I liked  it","I hated it"\nother,another\n')
    assert propose(build(file), "i LIKED it") == ["I hated it"]
    assert propose(build(file), "never seen") == []


def test_target_column_picks_the_direction(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        '{"original": "fine", "counterfactual": "awful", "to": "negative"}\n'
        '{"original": "fine", "counterfactual": "great", "to": "positive"}\n'
        '{"original": "odd", "counterfactual": null, "to": "positive"}\n'
    )
    generator = build(file, target="to")
    assert propose(generator, "fine", 0) == ["awful"]
    assert propose(generator, "fine", 1) == ["great"]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("p.csv", "text,counterfactual\na,b\n", "p.csv:2: no text in the column `original`"),
        ("p.jsonl", '{"original": "a"\n', "p.jsonl:1:17: this line is not JSON"),
        ("p.jsonl", "[1]\n", "p.jsonl:1: a line must be a JSON object"),
        ("p.jsonl", '{"original": ' + "[" * 100_000, "p.jsonl:1: brackets are nested too deeply"),
        ("p.jsonl", '{"n": ' + "1" * 5_000 + "}", "p.jsonl:1: a number has too many digits"),
        ("p.jsonl", '{"original": "a\\ud83d", "counterfactual": "b"}', "p.jsonl:1: column `original` holds half"),
        (
            "p.csv",
            'original,counterfactual\na,b\nc,"d\ne,f\ng,h\n',
            "p.csv:3: the quotes do not match: the one that opens here is never",
        ),
        (
            "p.csv",
            'original,counterfactual\n"a,b\nc,d\n"e",f\n',
            "p.csv:2: the quotes do not match: the one that opens here is closed",
        ),
        ("p.csv", "original,counterfactual\nwell, yes,no\n", "p.csv:2: this line has 3 fields, but the header has 2"),
        ("p.csv", "original,counterfactual\na\0,b\n", "p.csv:2: the file contains zero bytes"),
        ("p.csv", "original,counterfactual\n", "holds no pairs"),
    ],
)
def test_faults_name_file_and_row(tmp_path: Path, name: str, content: str, wanted: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError, match="(?s)" + wanted.replace(".", r"\.")):
        build(file)


def test_long_texts_and_odd_line_breaks(tmp_path: Path) -> None:
    limit = csv.field_size_limit(131_072)
    file = tmp_path / "pairs.csv"
    file.write_text(f"original,counterfactual\n{'a' * 200_000},one\nsaid\u2028so,other\n", encoding="utf-8")
    try:
        generator = build(file)
        assert csv.field_size_limit() == 131_072
    finally:
        csv.field_size_limit(limit)
    assert propose(generator, "a" * 200_000) == ["one"]
    assert propose(generator, "said so") == ["other"]


def test_a_pipe_or_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, Path("/dev/zero"), Path("x" * 300)):
        PrecomputedOptions(path=str(path)).identity()
        with pytest.raises(DataError, match=r"not a file; name the file|name too long"):
            build(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        build(tmp_path / "none.csv")


def test_identity_follows_content_not_path(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("original,counterfactual\na,b\n")
    second.write_text("original,counterfactual\na,b\n")
    assert PrecomputedOptions(path=str(first)).identity() == PrecomputedOptions(path=str(second)).identity()
    second.write_text("original,counterfactual\na,c\n")
    assert PrecomputedOptions(path=str(first)).identity() != PrecomputedOptions(path=str(second)).identity()


@pytest.mark.parametrize("option", ["original", "counterfactual", "target"])
def test_identity_follows_the_columns_that_are_read(tmp_path: Path, option: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("original,counterfactual\na,b\n")
    plain = PrecomputedOptions(path=str(file)).identity()
    assert PrecomputedOptions.model_validate({"path": str(file), option: "other"}).identity() != plain
