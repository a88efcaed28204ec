"""A report on arms of any name: their rows, what they need, their gains, their looks, their definitions in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report.contents import Report, build_report
from cod_runner.report.costs import ArmCost, arm_costs, cost_grid
from cod_runner.report.figures import draw_figures
from cod_runner.report.looks import looks
from cod_runner.report.page.one_run import page
from cod_runner.report.protocol import arm_in_words, protocol
from cod_runner.report.table import in_order, result_table
from cod_runner.report.terminal import show_report
from cod_runner.report.text import csv_text, markdown
from cod_runner.report.write import write_reports
from cod_runner.runs.records import CellRow, LeftOut, MetricRecord, RunRecord

ARMS: dict[str, Any] = {
    "near_miss": {"add": "misses"},
    "cod": {"add": "flips"},
    "answers": {"add": "flips", "unlabelled": {"from": "attempts", "per_original": 8}},
    "plain": {},
}
COSTS: dict[str, dict[str, Any]] = {
    "plain": {"labelled": 8, "added": 0, "unlabelled": 0, "embedded": 0, "generator_calls": 0, "usd": 0.0},
    "cod": {"labelled": 4, "added": 4, "unlabelled": 0, "embedded": 0, "generator_calls": 30, "usd": 0.0125},
    "near_miss": {"labelled": 4, "added": 4, "unlabelled": 0, "embedded": 0, "generator_calls": 30, "usd": None},
    "answers": {"labelled": 4, "added": 4, "unlabelled": 31, "embedded": 2000, "generator_calls": 30, "usd": 12.5},
}
QUERIES = {"plain": (8, 8, 8), "cod": (50, 54, 61), "near_miss": (50, 54, 61), "answers": (12000, 12010, 12026)}
ACCURACY = {"plain": 0.60, "cod": 0.66, "near_miss": 0.63, "answers": 0.68}


@pytest.fixture
def report(recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]) -> Report:
    recipe = recipe_with(arms=ARMS, k=[8], methods={"kd": ["hard", "kd"]})
    rows = [
        make_row("kd", arm, 8, seed, ACCURACY[arm] + seed / 100).to_json()
        | {name: value for name, value in COSTS[arm].items() if value is not None}
        | {"teacher_queries": QUERIES[arm][seed]}
        for arm in ARMS
        for seed in range(3)
    ]
    metrics = [metric.name for metric in record.metrics]
    return build_report(recipe, record, [CellRow.from_json(row, metrics) for row in rows])


NEEDED = [
    ["plain", "8", "8", "0", "0", "8", "0", "0", "$0"],
    ["cod", "8", "4", "4", "0", "55", "0", "30", "$0.0125"],
    ["near_miss", "8", "4", "4", "0", "55", "0", "30", "–"],
    ["answers", "8", "4", "4", "31", "12,012", "2,000", "30", "$12.50"],
]


def test_what_each_arm_needs_is_a_table_of_means_over_seeds(report: Report) -> None:
    assert cost_grid(report.costs)[1] == NEEDED
    text = markdown(report)
    assert "## What each arm needs" in text
    assert "| arm | k | labelled | added | unlabelled | teacher queries | embedded | generator calls | price |" in text
    assert "| answers | 8 | 4 | 4 | 31 | 12,012 | 2,000 | 30 | $12.50 |" in text


def test_the_page_has_the_same_table(report: Report) -> None:
    html = page(report, {})
    for arm, *words in NEEDED:
        cells = "".join(f'<td class="number">{word}</td>' for word in words)
        assert f'<th scope="row">{arm}</th>{cells}' in html


def test_on_the_page_every_arm_stands_under_its_method(report: Report) -> None:
    """The style indents what is `further`; one for two names of arms left the others looking like methods."""
    html = page(report, {})
    assert '<tr class="plain"><th scope="row">kd</th>' in html
    for arm, label in (("cod", "+CoD"), ("near_miss", "+near_miss"), ("answers", "+answers")):
        assert f'<tr class="{arm} further"><th scope="row">{label}</th>' in html
    assert "tr.further > th { padding-left" in html


def test_the_csv_has_what_each_arm_needs_beside_its_numbers(report: Report) -> None:
    lines = {line["arm"]: line for line in csv.DictReader(io.StringIO(csv_text(report))) if line["metric"] == "kl"}
    names = ("labelled", "added", "unlabelled", "teacher_queries", "embedded", "usd")
    assert [lines["answers"][name] for name in names] == ["4.0", "4.0", "31.0", "12012.0", "2000.0", "12.5"]
    assert lines["near_miss"]["usd"] == "", "unknown is not 0"
    assert lines["plain"]["usd"] == "0.0"


def test_a_mean_that_is_not_whole_has_one_decimal() -> None:
    assert ArmCost("x", 8, 8.0, 0.0, 2 / 3, 123456.25, 0.0, None, 0.5, 0.002).words == [
        "x", "8", "8", "0", "0.7", "123,456.2", "0", "–", "$0.5000", "$0.0020",
    ]  # fmt: skip


def test_a_mean_is_over_all_seeds_or_not_known(
    recipe_with: Callable[..., Recipe], make_row: Callable[..., CellRow]
) -> None:
    recipe = recipe_with(arms={"plain": {}}, k=[8], methods={"kd": ["hard", "kd"], "hard": ["hard"]})
    rows = [
        replace(make_row("kd", "plain", 8, 0, 0.5), labelled=8, usd=0.25, teacher_queries=10),
        replace(make_row("hard", "plain", 8, 0, 0.5), labelled=8, usd=0.25, teacher_queries=10),
        replace(make_row("kd", "plain", 8, 1, 0.5), labelled=8, usd=None, teacher_queries=40),
    ]
    (cost,) = arm_costs(recipe, rows)
    assert cost.usd is None, "one seed's price is not known"
    assert cost.teacher_queries == 25, "methods share the training set of a seed, which counts once"


def test_cells_of_an_older_codrun_have_no_such_table(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    report = build_report(recipe, record, rows)
    assert report.costs == ()
    assert "What each arm needs" not in markdown(report) + page(report, {})
    assert "teacher_queries" not in draw_figures(report)


def test_a_second_figure_is_over_teacher_queries(report: Report, tmp_path: Path) -> None:
    assert set(draw_figures(report)) == {"accuracy", "agreement", "teacher_queries"}
    write_reports(tmp_path, report.recipe, report.record, report.rows, [])
    assert (tmp_path / "figures" / "teacher_queries.png").read_bytes().startswith(b"\x89PNG")
    assert "teacher queries" in (tmp_path / "report.html").read_text()


def test_arms_keep_the_order_of_the_recipe_after_the_known_ones(report: Report) -> None:
    assert in_order(ARMS) == ["plain", "cod", "near_miss", "answers"]
    assert [row.label for row in report.tables[0].rows] == [
        "teacher (ceiling)", "kd", "+CoD", "+near_miss", "+answers",
    ]  # fmt: skip
    assert [row.kind for row in report.tables[0].rows] == ["teacher", "plain", "cod", "near_miss", "answers"]


def test_gains_over_every_other_arm_are_shown(report: Report) -> None:
    text = markdown(report)
    assert "### What +CoD changes: accuracy" in text
    assert "### What +CoD changes against the other arms: accuracy" in text
    assert "| against | method | k | mean gain | ± sd | better seeds | p |" in text
    assert "| +near_miss | kd | 8 | +0.030 | 0.000 | 3 of 3 | 0.25 |" in text
    assert "| +answers | kd | 8 | −0.020 | 0.000 | 0 of 3 | 0.25 |" in text
    assert "+CoD is better than +near_miss in 1 of 1, than +answers in 0 of 1 settings" in text
    console = Console(record=True, width=160, file=io.StringIO())
    show_report(console, report)
    shown = console.export_text()
    assert "+near_miss" in shown and "What each arm needs" in shown and "12,012" in shown


def test_only_plain_and_cod_compete_for_bold(report: Report) -> None:
    better = {row.kind for row in report.tables[0].rows for cell in row.cells if cell.better}
    assert better == {"cod"}


def test_arms_whose_own_generator_flips_are_marked_as_unverified_too(
    recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> None:
    arms = {
        "plain": {},
        "m": {"add": "misses"},
        "own": {"add": "x"},
        "kept": {"add": "x", "keep": "same"},
        "cod": {"add": "flips"},
    }
    made = {"generators": ["lexicon"], "verify": False}
    rows = [make_row("kd", arm, 8, seed, 0.6) for arm in arms for seed in range(3)]
    report = build_report(recipe_with(arms=arms, k=[8], counterfactuals=made), record, rows)
    marked = {row.kind for row in report.tables[0].rows for cell in row.cells if "‡" in cell.marks}
    assert marked == {"own", "cod"}


def test_a_control_of_another_meaning_has_no_footnote_of_the_old_one(rows: list[CellRow]) -> None:
    metric = MetricRecord(name="accuracy", title="Accuracy", higher_is_better=True)
    arms = ["plain", "control"]
    notes = {copies: result_table(rows, None, metric, arms=arms, copies=copies).footnotes for copies in (True, False)}
    assert any(note.startswith("+control:") for note in notes[True])
    assert not any(note.startswith("+control:") for note in notes[False])


def test_who_starts_from_the_teacher_is_no_floor(
    recipe_with: Callable[..., Recipe], record: RunRecord, rows: list[CellRow]
) -> None:
    record.student_from_teacher = True
    report = build_report(recipe_with(), record, rows)
    text = markdown(report)
    assert "| hard (no teacher in the loss, but a student cut from it) |" in text
    assert "(no teacher, floor)" not in text
    assert "is not a floor: it begins with what the teacher learnt" in text


def test_looks_differ_and_those_of_known_arms_stay() -> None:
    names = ["plain", "cod", "control", *(f"arm {number}" for number in range(6))]
    found = looks(names)
    assert len({(look.colour, look.line, look.marker) for look in found.values()}) == 9
    assert len({look.dodge for look in found.values()}) == 9
    alone = looks(["cod"])["cod"]
    assert (found["cod"].colour, found["cod"].marker) == (alone.colour, alone.marker)
    assert max(abs(look.dodge) for look in looks(map(str, range(40))).values()) <= 0.18 + 1e-9


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({}, "originals by random"),
        ({"select": {"use": "typical", "neighbours": 20}}, "originals by typical (neighbours 20)"),
        ({"balanced": False}, "originals by random, classes not balanced"),
        ({"add": "flips", "per_original": 2}, "originals by random, 2 flips of each, on different words"),
        ({"add": ["misses", "flips"]}, "originals by random, 1 misses of each, 1 flips of each"),
        ({"add": "flips", "of": "others"}, "originals by random, 1 flips of other originals"),
        (
            {"add": {"use": "word_dropout", "share": 0.5}, "keep": "same", "choose": "middle"},
            "originals by random, 1 word_dropout (share 0.5) (kept: same) of each, chosen by middle",
        ),
        (
            {"unlabelled": {"from": "pool", "rows": 500}},
            "originals by random, unlabelled: 500 rows from pool",
        ),
        (
            {"add": "flips", "unlabelled": {"from": "attempts", "per_original": 8}},
            "originals by random, 1 flips of each, unlabelled: at most 8 of each original from attempts",
        ),
    ],
)
def test_an_arm_is_told_in_words(arm: dict[str, Any], words: str, recipe_with: Callable[..., Recipe]) -> None:
    recipe = recipe_with(arms={"x": arm}, k=[12])
    assert arm_in_words(recipe.arms["x"]) == words
    assert {setting.name: setting.value for setting in protocol(recipe)}["arm x"] == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"arms": ["plain", "cod"]}, None),
        ({"arms": ARMS}, "arms that add something pass over the same ones"),
        ({"arms": ARMS, "same_originals": True}, "all arms pass over the same ones"),
        ({"arms": ARMS, "same_originals": False}, None),
    ],
)
def test_the_protocol_says_which_arms_share_their_originals(
    given: dict[str, Any], words: str | None, recipe_with: Callable[..., Recipe]
) -> None:
    assert {setting.name: setting.value for setting in protocol(recipe_with(**given))}.get("originals") == words


def test_queries_for_no_arm_in_particular_are_told_beside_the_table(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], no_plugins: Registry
) -> None:
    record.shared_queries = 1234
    assert "generators asked the teacher about 1,234 texts for no original in particular" in markdown(
        build_report(recipe, record, rows)
    )


def test_the_teachers_price_has_a_column_where_some_arm_has_one() -> None:
    unpaid = ArmCost("plain", 8, 8.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0)
    paid = ArmCost("cod", 8, 4.0, 4.0, 0.0, 20.0, 0.0, 4.0, 0.0, teacher_usd=2.5)
    assert "teacher's price" not in cost_grid([unpaid])[0] and len(cost_grid([unpaid])[1][0]) == 9
    columns, rows = cost_grid([unpaid, paid])
    assert columns[-1] == "teacher's price" and [row[-1] for row in rows] == ["–", "$2.50"]


@pytest.mark.parametrize(
    ("evaluate", "rows", "words"),
    [
        ({"folds": 2}, 60, "2-fold cross-validation over 60 rows, last step: each row is measured by the seeds of its "
         "fold (0: 0, 2; 1: 1), whose training rows, teacher and counterfactuals come from the other folds; a "
         "deviation over seeds holds the differences of the folds too"),
        ({"folds": 4, "select": "best_reported"}, None, "4-fold cross-validation, best epoch on the reported fold "
         "(optimistic): each row is measured by the seeds of its fold (0: 0; 1: 1; 2: 2; 3: none), whose"),
        ({"rows": 9}, 9, "validation split (at most 9 of its rows), last step"),
    ],
)  # fmt: skip
def test_folds_are_told_with_the_seeds_that_measure_them(
    recipe_with: Callable[..., Recipe], evaluate: dict[str, object], rows: int | None, words: str
) -> None:
    told = {setting.name: setting.value for setting in protocol(recipe_with(evaluate=evaluate), rows)}
    assert told["evaluation"].startswith(words)


def test_cells_that_could_not_run_are_told_apart_from_those_that_are_not_finished(
    recipe: Recipe, record: RunRecord, rows: list[CellRow]
) -> None:
    out = LeftOut(arm="cod", k=16, seeds=[0, 1], cells=2, sentence="why")
    told = build_report(recipe, record.model_copy(update={"left_out": [out], "cell_keys": ["x"] * 24}), rows).notes
    assert told[:2] == (
        "2 of 24 cells could not run, since their training sets cannot be drawn: `cod` at k = 16 (seeds 0, 1); the "
        "same command tries them again.",
        "1 of 24 cells are not finished; the same command continues with them.",
    )
