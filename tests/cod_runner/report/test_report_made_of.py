"""A report is drawn again exactly where what it is made of has changed, or a file of it is not as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cod_runner.recipe.grammar import Recipe
from cod_runner.report import made_of, write
from cod_runner.report.write import write_reports
from cod_runner.runs.records import CellRow, RunRecord


class Drawn:
    """A run's folder whose report is written without figures, and how often that happened."""

    def __init__(self, folder: Path, given: tuple[Any, ...]) -> None:
        self.folder, self.given, self.times = folder, given, 0

    def write(self, _folder: Path, report: Any) -> list[Path]:
        self.times += 1
        (self.folder / "figures").mkdir(exist_ok=True)
        files = [self.folder / "table.md", self.folder / "figures" / "accuracy.png"]
        for path in files:
            path.write_text(f"{len(report.rows)} rows")
        return files

    def report(self, **changed: Any) -> int:
        """Write the reports; returns whether they were drawn."""
        before = self.times
        write_reports(self.folder, *self.given, **changed)
        return self.times - before


@pytest.fixture
def drawn(
    tmp_path: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow], monkeypatch: pytest.MonkeyPatch
) -> Drawn:
    found = Drawn(tmp_path, (recipe, record, rows, []))
    monkeypatch.setattr(write, "_write", found.write)
    assert found.report() == 1
    return found


def test_what_is_the_same_is_not_drawn_again(drawn: Drawn) -> None:
    assert drawn.report() == 0
    assert drawn.report(anew=True) == 1


@pytest.mark.parametrize("name", ["table.md", "figures/accuracy.png"])
def test_a_file_that_was_changed_or_removed_is_written_again(drawn: Drawn, name: str) -> None:
    was = (drawn.folder / name).read_bytes()
    (drawn.folder / name).write_bytes(was.replace(b"rows", b"ROWS"))
    assert drawn.report() == 1
    (drawn.folder / name).unlink()
    assert drawn.report() == 1
    assert (drawn.folder / name).read_bytes() == was
    assert drawn.report() == 0


def test_other_numbers_are_another_report(drawn: Drawn) -> None:
    recipe, record, rows, outcomes = drawn.given
    drawn.given = recipe, record, rows[:-1], outcomes
    assert drawn.report() == 1
    drawn.given = recipe, record.model_copy(update={"notes": ["changed"]}), rows[:-1], outcomes
    assert drawn.report() == 1
    assert drawn.report() == 0


@pytest.mark.parametrize(
    "name", ["students/kd-cod-k8-s0/student.json", "students/kd-cod-k8-s0-onnx/student.json", "figures/moons.png",
             "bench.json"],
)  # fmt: skip
def test_files_that_pages_and_cards_look_at_are_part_of_it(drawn: Drawn, name: str) -> None:
    path = drawn.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert drawn.report() == 1
    assert drawn.report() == 0
    path.write_text("{} ")
    assert drawn.report() == 1


def test_other_code_or_another_version_of_what_draws_is_another_report(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(made_of, "_version", {"matplotlib": "0.0"}.get)
    assert drawn.report() == 1
    code = tmp_path_factory.mktemp("code")
    monkeypatch.setattr(made_of, "CODE", code)
    assert drawn.report() == 1
    (code / "table.py").write_text("changed = 1\n")
    assert drawn.report() == 1
    assert drawn.report() == 0


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"made_of": 1, "files": {}}', "[" * 100_000])
def test_a_damaged_note_costs_one_drawing(drawn: Drawn, damage: str) -> None:
    (drawn.folder / made_of.FILE).write_text(damage)
    assert drawn.report() == 1
    assert drawn.report() == 0


def test_a_strangers_note_reads_nothing_outside_the_run(drawn: Drawn) -> None:
    written = json.loads((drawn.folder / made_of.FILE).read_text())
    for name in ("../outside", "/etc/hosts"):
        (drawn.folder / made_of.FILE).write_text(json.dumps({**written, "files": {name: ""}}))
        assert made_of.read_written(drawn.folder) == made_of.Written("", {})
