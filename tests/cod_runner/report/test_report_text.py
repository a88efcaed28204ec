from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.contents import Report, build_report, smallest_p_in_words
from cod_runner.report.protocol import component_in_words, protocol
from cod_runner.report.terminal import show_report
from cod_runner.report.text import csv_text, markdown, signed, spreadsheet_safe
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.records import CellRow, RunRecord, VerdictRecord


@pytest.fixture
def report(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> Report:
    return build_report(recipe, record, rows, (), other_lines=2)


def test_the_table_in_the_poster_s_form(report: Report) -> None:
    lines = markdown(report).splitlines()
    start = lines.index("## Accuracy")
    assert lines[start + 2 : start + 9] == [
        "| method | k = 8 | k = 16 |",
        "| --- | --- | --- |",
        "| teacher (ceiling) | 0.815 | 0.815 |",
        "| kd | 0.620 ± 0.020 | **0.720** ± 0.020 |",
        "| +CoD | **0.660** ± 0.030 | 0.700 ± 0.010 |",
        "| hard (no teacher, floor) | 0.520 ± 0.020 | 0.550 ± 0.000 |",
        "| +CoD | 0.520 ± 0.020 | – |",
    ]
    assert "## Agreement with the teacher" in lines


def test_gains_and_losses_follow_the_table(report: Report) -> None:
    text = markdown(report)
    assert "| kd | 8 | +0.040 | 0.010 | 3 of 3 | 0.25 |" in text
    assert "| kd | 16 | −0.020 | 0.010 | 0 of 3 | 0.25 |" in text
    assert "with 3 seeds it cannot fall below 0.25" in text
    # the floor distils nothing, so the headline omits it
    assert "By mean accuracy +CoD is better in 1, equal in 0 and worse in 1 of 2 settings" in text


def test_notes_say_what_is_missing_and_what_is_old(report: Report) -> None:
    text = markdown(report)
    assert "- 3 of 24 cells are not finished" in text
    assert (
        "- 2 lines of cells.jsonl are omitted from the tables: of cells that this call leaves out, or made with other "
        "settings."
    ) in text
    assert "- k=8, seed 2: only 80% gave a pair" in text


def test_the_protocol_shows_no_folder(recipe: Recipe) -> None:
    lines = {setting.name: setting.value for setting in protocol(recipe)}
    assert lines["data set"] == "csv (path films.csv, text text)"
    assert lines["method kd"] == "hard + 20 x kd (temperature 2)"
    assert lines["training"].startswith("100 steps, batch 8, adamw lr 0.0001, linear schedule")
    assert lines["teacher fine-tuning"].startswith("3,000 rows, 1 epoch,")
    assert "verified to flip the teacher" in lines["counterfactuals"]


def test_an_option_of_0_is_shown_and_an_absent_one_is_not(recipe_with: Callable[..., Recipe]) -> None:
    generator = {"use": "litellm", "temperature": 0, "seed": None, "cache": False, "highlight": [], "base": r"C:\a\b"}
    recipe = recipe_with(counterfactuals={"generators": [generator]})
    assert recipe.counterfactuals is not None
    assert component_in_words(recipe.counterfactuals.generators[0]) == "litellm (temperature 0, base b)"


@pytest.mark.parametrize(
    ("changes", "mark", "word"),
    [
        ({"evaluate": {"select": "best_reported", "metrics": ["accuracy"]}}, "†", "optimistic"),
        ({"counterfactuals": {"generators": ["lexicon"], "verify": False}}, "‡", "unverified"),
    ],
)
def test_marks_follow_the_numbers(
    recipe_with: Callable[..., Recipe],
    record: RunRecord,
    rows: list[CellRow],
    changes: dict[str, object],
    mark: str,
    word: str,
) -> None:
    text = markdown(build_report(recipe_with(**changes), record, rows))
    assert f"**0.660** ± 0.030 {mark} |" in text
    assert f"{mark} {word}" in text
    shown = Console(record=True, width=160, file=io.StringIO())
    show_report(shown, build_report(recipe_with(**changes), record, rows))
    assert f"0.660 ± 0.030 {mark}" in shown.export_text()


def test_a_note_cannot_break_the_page_apart(recipe: Recipe, rows: list[CellRow]) -> None:
    text = markdown(build_report(recipe, RunRecord(recipe="small", notes=["one\n# two"]), rows))
    assert "- one # two" in text


def test_csv_holds_every_metric_in_full(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(report))))
    assert list(lines[0]) == [
        "method", "arm", "k", "metric", "mean", "sd", "n", "min", "max",
        "labelled", "added", "unlabelled", "teacher_queries", "embedded", "generator_calls", "usd",
        "teacher_usd",
    ]  # fmt: skip
    (kd,) = [e for e in lines if (e["method"], e["arm"], e["k"], e["metric"]) == ("kd", "cod", "8", "accuracy")]
    assert float(kd["mean"]) == pytest.approx(0.66)
    assert float(kd["sd"]) == pytest.approx(0.03)
    assert (kd["n"], kd["min"], kd["max"]) == ("3", "0.63", "0.69")
    assert {each["metric"] for each in lines} == {"accuracy", "agreement", "kl"}
    assert sum(each["method"] == "teacher" for each in lines) == 1
    assert len(lines) == 1 + 7 * 3  # the teacher; seven cells that have rows, by three metrics


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\tx", "\rx"])
def test_a_spreadsheet_takes_no_name_for_a_formula(text: str) -> None:
    assert spreadsheet_safe(text) == "'" + text
    assert spreadsheet_safe("kd=1") == "kd=1"


def test_a_plugin_s_metric_is_tabled_by_its_name(
    recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> None:
    recipe = recipe_with(evaluate={"metrics": ["=hausdorff"]})
    rows = [make_row("kd", "plain", 8, seed, 0.6, **{"=hausdorff": 0.25}) for seed in range(3)]
    report = build_report(recipe, record, rows)
    assert [table.metric.name for table in report.tables] == ["=hausdorff"]
    assert "kd,plain,8,'=hausdorff,0.25,0.0,3,0.25,0.25," in csv_text(report)


def test_signed_has_a_real_minus_and_no_signed_zero() -> None:
    assert [signed(value) for value in (0.0124, -0.0126, -0.0001, 0.0)] == ["+0.012", "−0.013", "0.000", "0.000"]


def test_the_terminal_shows_tables_gains_and_notes(report: Report) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    show_report(console, report)
    text = console.export_text()
    assert "0.660 ± 0.030" in text
    assert "−0.020" in text
    assert "3 of 24 cells are not finished" in text


def test_markup_in_a_note_is_shown_and_not_interpreted(recipe: Recipe, rows: list[CellRow]) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    show_report(console, build_report(recipe, RunRecord(recipe="small", notes=["[bold]loud[/bold]\x1b[31m"]), rows))
    text = console.export_text()
    assert "[bold]loud[/bold]" in text
    assert "\x1b" not in text


def test_a_run_without_a_finished_cell_has_a_report(recipe: Recipe) -> None:
    report = build_report(recipe, RunRecord(recipe="small"), [])
    assert "24 of 24 cells are not finished" in markdown(report)
    assert csv_text(report).count("\n") == 1
    show_report(Console(file=io.StringIO()), report)


def test_one_arm_alone_promises_no_gain(
    recipe_with: Callable[..., Recipe], record: RunRecord, rows: list[CellRow]
) -> None:
    text = markdown(build_report(recipe_with(arms=["plain"]), record, [row for row in rows if row.arm == "plain"]))
    assert "+CoD" not in text


def test_the_smallest_p_is_that_of_the_seeds_it_names(
    recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> None:
    def rows(k: int, seeds: int) -> list[CellRow]:
        return [
            make_row("kd", arm, k, seed, 0.5 + 0.1 * (arm == "cod"))
            for arm in ("plain", "cod")
            for seed in range(seeds)
        ]

    def said(*rows: CellRow) -> str:
        report = build_report(recipe_with(seeds=list(range(100))), record, rows)
        return smallest_p_in_words(report.gains[0])

    assert said(*rows(8, 32)).endswith("with 32 seeds it cannot fall below 4.66e-10.")
    assert said(*rows(8, 33)).endswith("with 33 seeds (estimated from 20,000 draws) it cannot fall below 5e-05.")
    assert said(*rows(8, 100), *rows(16, 10)).endswith(
        "with 100 seeds (estimated from 20,000 draws) it cannot fall below 5e-05."
    )
    assert said(*rows(8, 32), *rows(16, 33)).endswith("with 32 seeds it cannot fall below 4.66e-10.")


VERDICTS = [
    VerdictRecord(
        what="f1, kd, cod, k = 8", bound="at least 0.5", found="0.6600 ± 0.0300 over 3 seeds", verdict="pass",
        measured=0.66, seeds=[0, 1, 2], sentence="told",
    ),
    VerdictRecord(what="usd, kd, cod, k = 8", bound="at most 1", found="nothing", verdict="miss", sentence="no `usd`"),
    VerdictRecord(what="f1, kd, a|b*, k = 16", bound="at least 0", found="nothing", verdict="not run", sentence="x"),
]  # fmt: skip


def test_verdicts_stand_in_the_table_and_on_the_terminal(
    recipe: Recipe, record: RunRecord, rows: list[CellRow]
) -> None:
    judged = build_report(recipe, record.model_copy(update={"verdicts": VERDICTS}), rows)
    lines = markdown(judged).splitlines()
    start = lines.index("## Expectations")
    assert lines[start + 2 : start + 10] == [
        "| expected | bound | measured | verdict |",
        "| --- | --- | --- | --- |",
        "| f1, kd, cod, k = 8 | at least 0.5 | 0.6600 ± 0.0300 over 3 seeds | pass |",
        "| usd, kd, cod, k = 8 | at most 1 | nothing | miss |",
        "| f1, kd, a\\|b\\*, k = 16 | at least 0 | – | not run |",
        "",
        "- no \\`usd\\`",
        "- 1 of 3 expectations did not run, since a profile or a flag leaves out their cells; with --strict that is a "
        "miss.",
    ]
    console = Console(record=True, width=200, file=io.StringIO())
    show_report(console, judged)
    shown = console.export_text()
    assert "│ usd, kd, cod, k = 8  │ at most 1    │ nothing                      │ miss    │" in shown
    assert "\nno `usd`\n1 of 3 expectations did not run" in shown


def test_a_recipe_that_expects_nothing_shows_nothing(report: Report) -> None:
    assert "Expectations" not in markdown(report)


def test_failed_cells_are_named_with_their_cause(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    cells = [
        FailedCell(key=f"x{seed}", method="hard", arm="cod", k=16, seed=seed, name=f"hard-cod-k16-s{seed}", cause=cause)
        for seed, cause in enumerate(("the metric `f1` is nan", "the metric `kl` is inf"))
    ]
    notes = build_report(recipe, record.model_copy(update={"failed": cells}), rows).notes
    assert notes[0] == (
        "2 cells failed: the metric `f1` is nan (hard-cod-k16-s0); the metric `kl` is inf (hard-cod-k16-s1); once that "
        "is mended, the same command runs them again and repeats nothing else."
    )
    assert notes[1] == "1 of 24 cells are not finished; the same command continues with them."
