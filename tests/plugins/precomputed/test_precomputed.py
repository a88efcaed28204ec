"""The generator `precomputed`: pairs from a file."""

from __future__ import annotations

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
        ("p.jsonl", '{"original": "a"\n', "p.jsonl:1: not a JSON object"),
        ("p.jsonl", "[1]\n", "p.jsonl:1: not a JSON object"),
        ("p.csv", "original,counterfactual\n", "holds no pairs"),
    ],
)
def test_faults_name_file_and_row(tmp_path: Path, name: str, content: str, wanted: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError, match="(?s)" + wanted.replace(".", r"\.")):
        build(file)


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
