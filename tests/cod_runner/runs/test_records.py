from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.runs.records import CellRow, QualityRow, RunRecord, current_rows, read_rows, read_run

LINE = {
    "key": "a", "method": "kd", "arm": "cod", "k": 8, "seed": 1, "accuracy": 0.5, "f1": 1, "mine": 2.5,
    "steps": 10, "redrawn": 1, "yield": 0.9, "seconds": 2.0, "seconds_saving": 0.5, "verified": True,
    "select": "last", "why": "a word",
}  # fmt: skip


def test_a_line_becomes_a_row_and_back() -> None:
    row = CellRow.from_json(LINE)
    assert row.metrics == {"accuracy": 0.5, "f1": 1.0, "mine": 2.5}
    assert (row.steps, row.redrawn, row.yield_, row.seconds, row.select) == (10, 1, 0.9, 2.0, "last")
    assert row.extra == {"seconds_saving": 0.5, "verified": True, "why": "a word"}
    assert row.to_json() == LINE


def test_a_line_that_names_no_cell_is_refused() -> None:
    with pytest.raises(CodrunError, match="names no cell"):
        CellRow.from_json({"key": "a", "method": "kd", "arm": "cod", "k": 8})


def test_a_torn_last_line_is_ignored_and_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    again = {**LINE, "accuracy": 0.75}
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(again) + "\n" + json.dumps({**LINE, "key": "b"})[:40])
    (row,) = read_rows(path)
    assert row.metrics["accuracy"] == 0.75


def test_a_text_with_a_line_separator_stays_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps({**LINE, "why": "one\u2028two"}, ensure_ascii=False) + "\n", encoding="utf-8")
    (row,) = read_rows(path)
    assert row.extra["why"] == "one\u2028two"


def test_no_file_is_no_row(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "cells.jsonl") == []


def test_rows_of_other_keys_are_counted_not_kept() -> None:
    rows = [CellRow.from_json({**LINE, "key": key, "seed": seed}) for seed, key in enumerate("abc")]
    current, others = current_rows(rows, ["a", "c", "not yet run"])
    assert ([row.key for row in current], others) == (["a", "c"], 1)


def test_without_keys_the_last_row_of_a_place_counts() -> None:
    rows = [CellRow.from_json({**LINE, "key": key}) for key in ("old", "new")]
    current, others = current_rows(rows, None)
    assert ([row.key for row in current], others) == (["new"], 1)


def test_the_record_keeps_what_it_does_not_know_and_reads_quality_from_any_object() -> None:
    class Measure:
        name, all, flipped = "flip rate", 0.5, None

    record = RunRecord.model_validate({"recipe": "r", "of_the_lead": [1]})
    record.quality = [Measure()]  # type: ignore[list-item]
    again = RunRecord.model_validate_json(record.model_dump_json())
    assert again.quality == [QualityRow(name="flip rate", all=0.5, flipped=None)]
    assert again.model_extra == {"of_the_lead": [1]}


def test_a_call_that_had_nothing_to_do_leaves_the_time_of_the_run() -> None:
    record = RunRecord(recipe="r", seconds=100.0, finished="2026-01-01T00:00:00+00:00")
    record.finished_now(3.0, ran=False)
    assert (record.seconds, record.finished) == (100.0, "2026-01-01T00:00:00+00:00")
    record.finished_now(20.0, ran=True)
    assert record.seconds == 120.0
    assert record.finished != "2026-01-01T00:00:00+00:00"


def test_a_run_is_read_from_its_folder(run_folder: Path, rows: list[CellRow]) -> None:
    run = read_run(run_folder)
    assert (run.recipe.name, run.record.teacher_accuracy, run.other_lines) == ("small", 0.815, 0)
    assert list(run.rows) == rows
    assert [line["pair_id"] for line in run.outcomes] == ["0", "1"]


def test_a_run_that_was_cut_off_is_read_too_and_says_so(run_folder: Path) -> None:
    (run_folder / "run.json").unlink()
    assert "has not ended" in read_run(run_folder).record.notes[0]


def test_a_folder_that_is_no_run_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no run's folder"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("recipe.yaml", "k: [", "cannot be read as YAML"), ("recipe.yaml", "k: 1", "not a resolved recipe"),
     ("run.json", "{}", "not a run's record")],
)  # fmt: skip
def test_a_broken_file_is_named(run_folder: Path, name: str, text: str, said: str) -> None:
    (run_folder / name).write_text(text)
    with pytest.raises(CodrunError, match=said) as caught:
        read_run(run_folder)
    assert name in str(caught.value)


def test_a_cell_of_another_learning_rate_is_left_out(make_run: Callable[..., Path], rows: list[CellRow]) -> None:
    folder = make_run("other", rows)
    record = json.loads((folder / "run.json").read_text())
    record["cell_keys"] = [row.key for row in rows[1:]]
    (folder / "run.json").write_text(json.dumps(record))
    run = read_run(folder)
    assert (len(run.rows), run.other_lines) == (len(rows) - 1, 1)
