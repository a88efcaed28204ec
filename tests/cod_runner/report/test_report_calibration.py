"""What a report says of calibration, and of the gold labels that are read beside k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.calibration import CALIBRATION_NOTE, NOT_FITTED_NOTE, calibration_notes
from cod_runner.report.contents import Report, build_report
from cod_runner.report.page.one_run import page
from cod_runner.report.text import markdown
from cod_runner.runs.records import HELD_OUT_LABELS, CellRow, RunRecord

RECIPE = Recipe.model_validate(
    {
        "recipe": 1, "name": "tiny", "dataset": "moons", "k": [8], "seeds": [0, 1], "teacher": "mlp",
        "student": "mlp", "counterfactuals": {"generators": ["gradient"]}, "methods": {"kd": ["hard", "kd"]},
    }
)  # fmt: skip


def cell(arm: str, seed: int, **held_out: Any) -> CellRow:
    return CellRow(f"{arm}{seed}", "kd", arm, 8, seed, metrics={"accuracy": 0.5}, **held_out)


FITTED = [
    cell("plain", 0, held_out_rows=200, temperature=2.0, calibration_error=0.2, calibrated_error=0.04),
    cell("plain", 1, held_out_rows=199, temperature=4.0, calibration_error=0.4, calibrated_error=0.06),
    cell("cod", 0, held_out_rows=200, temperature=1.5, calibration_error=0.1, calibrated_error=0.05),
    cell("cod", 1, held_out_rows=200, calibration_error=0.3),
]


def report_of(rows: Sequence[CellRow], **data: int) -> Report:
    return build_report(RECIPE, RunRecord(recipe="tiny", data=data), rows)


def test_the_error_before_and_after_with_deviations() -> None:
    report = report_of(FITTED)
    assert [each.words for each in report.calibrations] == [
        ["kd", "plain", "8", "199 to 200", "3.00 ± 1.41", "0.300 ± 0.141", "0.050 ± 0.014"],
        ["kd", "cod", "8", "200", "1.50 (n = 1)", "0.200 ± 0.141", "0.050 (n = 1)"],
    ]
    assert calibration_notes(report.calibrations) == [CALIBRATION_NOTE, NOT_FITTED_NOTE]
    assert calibration_notes(report.calibrations[:1]) == [CALIBRATION_NOTE]
    text = markdown(report)
    assert "## Calibration" in text
    assert "| kd | plain | 8 | 199 to 200 | 3.00 ± 1.41 | 0.300 ± 0.141 | 0.050 ± 0.014 |" in text
    shown = page(report, {})
    assert "<h3>Calibration</h3>" in shown
    assert "0.300 ± 0.141" in shown


def test_the_labels_beside_k_are_in_protocol_and_notes() -> None:
    report = report_of(FITTED, **{HELD_OUT_LABELS: 1_208})
    words = (
        "at most 200 rows of the pool that a student was not trained on, 1,208 in all; their gold labels are read "
        "beside k: they calibrate the students and compare them, and train none"
    )
    assert [each.value for each in report.protocol if each.name == "held out"] == [words]
    assert f"Held out: {words}." in report.notes


def test_cells_of_an_older_codrun_have_neither() -> None:
    report = report_of([cell("plain", 0), cell("cod", 0)])
    assert report.calibrations == ()
    assert not any("eld out" in line for line in (*report.notes, *(each.name for each in report.protocol)))
    assert "Calibration" not in markdown(report)
