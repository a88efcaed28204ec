"""Training curves, what each loss term is of the loss, and the stages' time and money."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report.contents import build_report
from cod_runner.report.curves import POINTS, read_losses, training_curves
from cod_runner.report.figures import draw_figures
from cod_runner.report.page.one_run import page
from cod_runner.report.shares import percent, share_notes, small_terms_in_words, term_shares
from cod_runner.report.stages import shown_stages
from cod_runner.report.write import write_reports_again
from cod_runner.runs.records import CellRow, RunRecord, StageRecord

Write = Callable[..., None]


@pytest.fixture
def cell(make_row: Callable[..., CellRow]) -> Callable[..., CellRow]:
    return lambda seed=0, arm="plain": make_row("kd", arm, 8, seed, 0.5)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a cell's file: one (hard, kd) for each step from 1; ``before`` are bytes that stand before them."""

    def written(row: CellRow, values: list[tuple[float, float]], before: bytes = b"", key: str = "") -> None:
        (tmp_path / "training").mkdir(exist_ok=True)
        lines = [
            json.dumps({"key": key or row.key, "step": step, "losses": {"hard": hard, "kd": kd}})
            for step, (hard, kd) in enumerate(values, start=1)
        ]
        path = tmp_path / "training" / f"{row.name}.jsonl"
        path.write_bytes(before + "\n".join(lines).encode() + b"\n")

    return written


def test_curves_are_weighted_and_averaged_over_seeds(
    recipe: Recipe, cell: Callable[..., CellRow], write: Write, tmp_path: Path
) -> None:
    rows = [cell(0), cell(1)]
    write(rows[0], [(1.0, 0.10), (0.5, 0.05)])
    write(rows[1], [(3.0, 0.20), (1.5, 0.05)])
    (curve,) = training_curves(recipe, rows, read_losses(tmp_path, rows))
    assert (curve.method, curve.arm, curve.k, curve.seeds, curve.steps) == ("kd", "plain", 8, 2, (1.0, 2.0))
    hard, kd = curve.terms
    assert (hard.term, hard.weight, hard.mean) == ("hard", 1.0, (2.0, 1.0))
    assert (hard.lowest, hard.highest) == ((1.0, 0.5), (3.0, 1.5))
    assert (kd.term, kd.weight) == ("kd", 20.0)
    assert kd.mean == pytest.approx((3.0, 1.0))


def test_long_trainings_have_as_many_points_as_a_figure_can_show(
    recipe: Recipe, cell: Callable[..., CellRow], write: Write, tmp_path: Path
) -> None:
    rows = [cell()]
    write(rows[0], [(float(step), 1.0) for step in range(1, 5001)])
    losses = read_losses(tmp_path, rows)
    assert list(losses[rows[0].key]) == list(range(5, 5001, 5)), "of more than 1,000 lines some, the last among them"
    (curve,) = training_curves(recipe, rows, losses)
    assert len(curve.steps) == POINTS
    assert curve.steps[0] == 25.5
    assert curve.terms[0].mean[0] == pytest.approx(25.5, abs=2)
    assert curve.terms[0].mean[-1] == pytest.approx(4975.5, abs=2)


def test_what_is_not_of_the_cell_is_passed_over(
    recipe: Recipe, cell: Callable[..., CellRow], write: Write, tmp_path: Path
) -> None:
    rows = [cell(0), cell(1), cell(2)]
    torn = b'{"key": "kd-plain-8-0", "step": 9, "loss\n[1, 2]\nnull\n\xff\n' + b"[" * 100_000 + b"\n"
    wrong = json.dumps({"key": rows[0].key, "step": 1.5, "losses": {"hard": 9}}).encode() + b"\n"
    odd = json.dumps({"key": rows[0].key, "step": 7, "losses": {"hard": True, "kd": float("nan")}}).encode() + b"\n"
    write(rows[0], [(1.0, 0.1)], before=torn + wrong + odd)
    write(rows[1], [(5.0, 5.0)], key="another cell")
    assert {key: dict(steps) for key, steps in read_losses(tmp_path, rows).items()} == {
        rows[0].key: {1: {"hard": 1.0, "kd": 0.1}, 7: {}}
    }


def test_nothing_outside_the_folder_is_read(
    cell: Callable[..., CellRow], write: Write, tmp_path: Path, make_row: Callable[..., CellRow]
) -> None:
    row = cell()
    write(row, [(1.0, 0.1)])
    stranger = make_row("../training/kd", "plain", 8, 0, 0.5, key=row.key)
    assert stranger.name.startswith("../")
    assert read_losses(tmp_path, [stranger]) == {}
    linked = tmp_path / "run" / "training"
    linked.mkdir(parents=True)
    (linked / f"{row.name}.jsonl").symlink_to(tmp_path / "training" / f"{row.name}.jsonl")
    assert read_losses(tmp_path / "run", [row]) == {}
    assert read_losses(tmp_path, [row]) != {}


def test_a_loss_below_zero_counts_by_its_size(recipe: Recipe, cell: Callable[..., CellRow]) -> None:
    row = replace(cell(), losses={"hard": -1.0, "kd": 0.15})  # kd times 20 is 3
    hard, kd = term_shares(recipe, [row], [])
    assert (hard.term, hard.start, hard.end, kd.term, kd.end) == ("hard", None, 0.25, "kd", 0.75)


def test_shares_at_the_start_in_the_middle_and_at_the_end(
    recipe: Recipe, cell: Callable[..., CellRow], write: Write, tmp_path: Path
) -> None:
    row = cell()
    # kd times 20 is 0.25, then 1, then 3 times the other
    values = [(0.8, 0.01)] * 10 + [(0.4, 0.02)] * 30 + [(0.2, 0.03)] * 10
    write(row, values)
    curves = training_curves(recipe, [row], read_losses(tmp_path, [row]))
    hard, kd = term_shares(recipe, [row], curves)
    assert (hard.term, kd.term) == ("hard", "kd")
    assert (kd.start, kd.middle, kd.end) == pytest.approx((0.2, 0.5, 0.75))
    assert kd.words == ["kd", "plain", "kd", "8", "20", "20%", "50%", "75%"]
    assert (hard.start or 0) + (kd.start or 0) == pytest.approx(1)


def test_without_a_curve_the_last_step_says_it(recipe: Recipe, make_row: Callable[..., CellRow]) -> None:
    rows = [make_row("kd", "cod", 8, seed, 0.5, losses={"hard": 0.6, "kd": 0.01}) for seed in (0, 1)]
    _, kd = term_shares(recipe, rows, [])
    assert kd.words == ["kd", "+CoD", "kd", "8", "20", "–", "–", "25%"]
    assert share_notes([kd])[-1] == "Where a training left no curve, only its last step is known."


def test_a_term_of_the_teacher_that_is_next_to_nothing_is_warned_of(
    recipe_with: Callable[..., Recipe], make_row: Callable[..., CellRow], record: RunRecord
) -> None:
    recipe = recipe_with(methods={"kd": ["hard", {"use": "kd", "weight": 0.1}]}, k=[8])
    rows = [make_row("kd", arm, 8, 0, 0.5, losses={"hard": 0.5, "kd": 0.02}) for arm in ("plain", "cod")]
    declared = record.model_copy(update={"terms_of_teacher": {"kd": ["kd"]}})
    sentence = (
        "The term `kd` of method kd is 0.4% of the weighted loss (plain at k = 8, +CoD at k = 8), so the student "
        "hardly learns it from the teacher: raise its `weight` under `methods.kd`, now 0.1; about 25 would make it as "
        "large as the rest."
    )
    assert sentence in build_report(recipe, declared, rows).notes
    # of an older record, and of a term that does not use the teacher, nothing is said
    assert not [note for note in build_report(recipe, record, rows).notes if "weighted loss" in note]
    shares = term_shares(recipe, rows, [])
    assert small_terms_in_words(shares, {"kd": ["hard"]}) == []


def test_a_term_that_has_its_part_is_not_warned_of(recipe: Recipe, make_row: Callable[..., CellRow]) -> None:
    rows = [make_row("kd", "plain", 8, 0, 0.5, losses={"hard": 0.00001, "kd": 0.01})]
    shares = term_shares(recipe, rows, [])
    assert shares[0].overall < 0.01
    assert small_terms_in_words(shares, {"kd": ["kd"]}) == []


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "–"), (0.0, "0.0%"), (0.0004, "under 0.1%"), (0.031, "3.1%"), (0.37, "37%"), (1, "100%")],
)
def test_percents(share: float | None, words: str) -> None:
    assert percent(share) == words


def test_the_page_has_curves_where_the_run_left_them(
    run_folder: Path, rows: list[CellRow], no_plugins: Registry, parsed: Callable[[str], Any]
) -> None:
    write_reports_again(run_folder, no_plugins)
    assert 'id="training"' not in (run_folder / "report.html").read_text()
    (run_folder / "training").mkdir()
    for row in rows:
        terms = {"hard": 0.5, "kd": 0.02} if row.method == "kd" else {"hard": 0.5}
        lines = [json.dumps({"key": row.key, "step": step, "losses": terms}) for step in range(1, 6)]
        (run_folder / "training" / f"{row.name}.jsonl").write_text("\n".join(lines))
    report = write_reports_again(run_folder, no_plugins)
    assert [(curve.method, curve.k, curve.arm) for curve in report.curves][:3] == [
        ("hard", 8, "plain"), ("hard", 8, "cod"), ("hard", 16, "plain")
    ]  # fmt: skip
    tree = parsed((run_folder / "report.html").read_text())
    (section,) = tree.all("section", id="training")
    captions = [each.text for each in section.all("figcaption")]
    assert captions == [
        f"Each loss term times its weight over the training steps at k = {k}: the mean of 3 seeds, the band from the "
        "lowest to the highest."
        for k in (16, 8)
    ]
    assert {path.name for path in (run_folder / "figures").glob("training*")} == {
        "training-k8.png", "training-k8.svg", "training-k16.png", "training-k16.svg",
    }  # fmt: skip
    for path in (run_folder / "training").iterdir():
        path.unlink()
    write_reports_again(run_folder, no_plugins)
    assert "training-k" not in (run_folder / "report.html").read_text(), "what was drawn once is no plugin's"
    assert "kd, +CoD" in (run_folder / "figures" / "training-k8.svg").read_text()


def test_one_seed_has_no_band(recipe: Recipe, record: RunRecord, cell: Callable[..., CellRow]) -> None:
    losses = {f"kd-plain-8-{seed}": {step: {"hard": 0.1 + seed, "kd": 0.2} for step in (1, 2)} for seed in (0, 1)}
    one = draw_figures(build_report(recipe, record, [cell(0)], losses=losses))["training-k8"].svg
    two = draw_figures(build_report(recipe, record, [cell(0), cell(1)], losses=losses))["training-k8"].svg
    assert "fill-opacity: 0.18" in two
    assert "fill-opacity: 0.18" not in one


def test_stages_and_their_parts() -> None:
    stages = [StageRecord(name="teacher", seconds=30.0), StageRecord(name="students", seconds=90.0, calls=2, usd=None)]
    teacher, students, together = shown_stages(stages)
    assert (teacher.time, teacher.part_of_time, teacher.price) == ("30 s", 0.25, "$0")
    assert (students.time, students.part_of_time, students.price) == ("1 min 30 s", 0.75, "unknown")
    assert (together.name, together.time, together.calls, together.price) == ("all", "2 min 00 s", "2", "unknown")
    assert shown_stages([]) == []


def test_stages_are_on_the_page_of_a_run_that_has_them(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], parsed: Callable[[str], Any]
) -> None:
    assert "Time and money" not in page(build_report(recipe, record, rows), {})
    stages = [StageRecord(name="<b>", seconds=1.0, usd=0.5, calls=1200), StageRecord(name="students", seconds=3.0)]
    tree = parsed(page(build_report(recipe, record.model_copy(update={"stages": stages}), rows), {}))
    (section,) = tree.all("section", id="stages")
    words = [[cell.text for cell in row.all("th", "td")] for row in section.all("tr")]
    assert words[1] == ["<b>", "1.0 s", "1,200", "0", "$0.5000"]
    assert words[3] == ["all", "4.0 s", "1,200", "0", "$0.5000"]
    assert section.all("span")[0].attributes["style"] == "--part: 0.2500"
