from __future__ import annotations

import json
import pickle

import pytest

from cod_runner.errors import CodrunError
from cod_runner.runs.records import FIELDS, CellRow, MetricRecord, QualityRow, RunRecord

METRICS = ["accuracy", "f1", "mine"]
LINE = (
    '{"key": "703b", "method": "kd", "arm": "cod", "k": 20, "seed": 1, "accuracy": 0.8825, "mine": 2.5, "f1": 1.0, '
    '"steps": 500, "training_rows": 20, "redrawn": 0, "yield": 1.0, "teacher_disagrees_with_gold": 0, '
    '"losses": {"hard": 0.2814827859401703, "kd": 0.006441003642976284}, "select": "last", "precision": "fp32", '
    '"device": "cpu", "train_seconds": 2.653, "seconds": 2.705}'
)
ROW = CellRow(
    key="703b", method="kd", arm="cod", k=20, seed=1, metrics={"accuracy": 0.8825, "mine": 2.5, "f1": 1.0},
    steps=500, training_rows=20, redrawn=0, yield_=1.0, teacher_disagrees_with_gold=0,
    losses={"hard": 0.2814827859401703, "kd": 0.006441003642976284}, select="last", precision="fp32", device="cpu",
    train_seconds=2.653, seconds=2.705,
)  # fmt: skip


def test_a_row_becomes_the_line_and_the_line_the_row() -> None:
    assert json.dumps(ROW.to_json()) == LINE
    assert CellRow.from_json(json.loads(LINE), METRICS) == ROW


def test_a_row_travels_between_processes() -> None:
    assert pickle.loads(pickle.dumps(ROW)) == ROW  # noqa: S301


def test_an_arm_without_pairs_has_nothing_to_disagree_on() -> None:
    line = json.loads(LINE)
    del line["teacher_disagrees_with_gold"]
    row = CellRow.from_json(line, METRICS)
    assert row.teacher_disagrees_with_gold is None
    assert list(row.to_json()) == list(line)


def test_only_what_the_recipe_names_is_a_metric_and_unknown_keys_are_preserved() -> None:
    line = json.loads(LINE) | {"seconds_saving": 0.5, "verified": True, "why": "a word", "older": 3, "yield_": 4}
    row = CellRow.from_json(line, [*METRICS, "seconds_saving"])
    assert row.metrics == {**ROW.metrics, "seconds_saving": 0.5}
    assert row.extra == {"verified": True, "why": "a word", "older": 3, "yield_": 4}
    assert row.to_json() == line


@pytest.mark.parametrize("value", [None, "0.5", True, [0.5]])
def test_a_metric_that_is_not_a_number_was_not_measured(value: object) -> None:
    row = CellRow.from_json(json.loads(LINE) | {"f1": value}, METRICS)
    assert set(row.metrics) == {"accuracy", "mine"}
    assert row.extra == {"f1": value}


@pytest.mark.parametrize("name", FIELDS)
def test_a_metric_cannot_have_the_name_of_a_field(name: str) -> None:
    with pytest.raises(ValueError, match=f"the metric `{name}`"):
        CellRow("703b", "kd", "cod", 20, 1, metrics={name: 0.5})
    assert CellRow.from_json(json.loads(LINE), [*METRICS, name]) == ROW


@pytest.mark.parametrize("name", ["key", "method", "arm", "k", "seed"])
def test_a_line_that_does_not_identify_a_cell_is_refused(name: str) -> None:
    line = json.loads(LINE)
    del line[name]
    said = rf"does not identify a cell \(key, method, arm, k, seed\): {name}: Field required"
    with pytest.raises(CodrunError, match=said):
        CellRow.from_json(line, METRICS)


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(CodrunError, match="has a `yield` of the wrong type"):
        CellRow.from_json(json.loads(LINE) | {"yield": "much"}, METRICS)
    with pytest.raises(CodrunError, match="does not identify a cell"):
        CellRow.from_json(json.loads(LINE) | {"arm": 3}, METRICS)
    with pytest.raises(CodrunError, match="has a `unlabelled` of the wrong type"):
        CellRow.from_json(json.loads(LINE) | {"unlabelled": "some"}, METRICS)


def test_what_a_training_set_is_made_of_and_cost_is_in_the_line_where_it_is_known() -> None:
    made = {
        "labelled": 10, "added": 10, "unlabelled": 40, "teacher_queries": 212, "embedded": 0, "generator_calls": 96,
        "usd": 0.0125,
    }  # fmt: skip
    row = CellRow.from_json(json.loads(LINE) | made | {"arm": "answers"}, METRICS)
    assert row.arm == "answers"
    assert (row.labelled, row.added, row.unlabelled, row.teacher_queries) == (10, 10, 40, 212)
    assert (row.embedded, row.generator_calls, row.usd) == (0, 96, 0.0125)
    line = row.to_json()
    assert {name: line[name] for name in made} == made
    keys = list(line)
    assert keys.index("training_rows") < keys.index("labelled") < keys.index("usd") < keys.index("redrawn")
    unpriced = CellRow.from_json({**line, "usd": None}, METRICS)
    assert "usd" not in unpriced.to_json()


def test_the_record_preserves_what_it_does_not_know_and_reads_quality_from_any_object() -> None:
    class Measure:
        name, all, flipped = "flip rate", 0.5, None

    record = RunRecord.model_validate({"recipe": "r", "of_the_lead": [1]})
    record.quality = [Measure()]  # type: ignore[list-item]
    again = RunRecord.model_validate_json(record.model_dump_json())
    assert again.quality == [QualityRow(name="flip rate", all=0.5, flipped=None)]
    assert again.model_extra == {"of_the_lead": [1]}


def test_a_metric_is_headed_by_its_title_and_its_direction_where_lower_is_better() -> None:
    brier = MetricRecord(name="brier", title="Brier score", higher_is_better=False)
    record = RunRecord(recipe="r", metrics=[brier])
    assert record.metric("brier").heading == "Brier score (lower is better)"
    assert record.metric("f1").heading == "f1"
    assert RunRecord.model_validate_json(record.model_dump_json()).metrics == [brier]


def test_a_call_that_had_nothing_to_do_leaves_the_time_of_the_run() -> None:
    record = RunRecord(recipe="r", seconds=100.0, finished="2026-01-01T00:00:00+00:00")
    record.finished_now(3.0, ran=False)
    assert (record.seconds, record.finished) == (100.0, "2026-01-01T00:00:00+00:00")
    record.finished_now(20.0, ran=True)
    assert record.seconds == 120.0
    assert record.finished != "2026-01-01T00:00:00+00:00"


def test_a_run_does_not_end_before_it_began_where_the_clock_was_set_back() -> None:
    record = RunRecord(recipe="r", started="2999-01-01T00:00:00+00:00")
    record.finished_now(1.0, ran=True)
    assert record.finished == record.started
