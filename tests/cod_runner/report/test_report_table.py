from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from cod_runner.report.table import Table, TableCell, gains_in_words, paired_gains, pooled, result_table
from cod_runner.runs.records import CellRow, MetricRecord

ACCURACY = MetricRecord(name="accuracy", title="Accuracy", higher_is_better=True)
AGREEMENT = MetricRecord(name="agreement", title="Agreement with the teacher", higher_is_better=True)
KL = MetricRecord(name="kl", title="KL divergence", higher_is_better=False)


def cell(table: Table, method: str, kind: str, k: int) -> TableCell:
    (row,) = [row for row in table.rows if (row.method, row.kind) == (method, kind)]
    return row.cells[table.k.index(k)]


def test_means_deviations_and_the_better_one(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, ACCURACY)
    plain, cod = cell(table, "kd", "plain", 8), cell(table, "kd", "cod", 8)
    assert plain.summary is not None
    assert cod.summary is not None
    assert plain.summary.mean == pytest.approx(0.62)
    assert plain.summary.sd == pytest.approx(0.02)
    assert cod.summary.mean == pytest.approx(0.66)
    assert cod.summary.sd == pytest.approx(0.03)
    assert (plain.better, cod.better) == (False, True)


def test_a_method_that_loses_is_shown_losing(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, ACCURACY)
    assert cell(table, "kd", "plain", 16).better
    assert not cell(table, "kd", "cod", 16).better


def test_a_tie_has_no_better_one(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, ACCURACY)
    assert not cell(table, "hard", "plain", 8).better
    assert not cell(table, "hard", "cod", 8).better


def test_what_differs_only_beyond_the_digits_shown_is_a_tie(make_row: Callable[..., CellRow]) -> None:
    table = result_table([make_row("kd", "plain", 8, 0, 0.6001), make_row("kd", "cod", 8, 0, 0.6004)], None, ACCURACY)
    assert not any(each.better for each in table.cells)


def test_other_seeds_are_not_compared(rows: list[CellRow]) -> None:
    fewer = [row for row in rows if row.place != ("kd", "cod", 8, 2)]
    table = result_table(fewer, 0.815, ACCURACY)
    assert not cell(table, "kd", "cod", 8).better
    assert cell(table, "kd", "cod", 8).some_missing
    assert not cell(table, "kd", "plain", 8).some_missing


def test_lower_is_better_for_kl(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, KL)
    assert cell(table, "kd", "cod", 8).better
    assert cell(table, "kd", "plain", 16).better
    assert not cell(table, "kd", "cod", 16).better


def test_the_ceiling_comes_first_and_the_floor_last(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, ACCURACY, methods=["hard", "kd"], floor=["hard"])
    assert [(row.kind, row.label) for row in table.rows] == [
        ("teacher", "teacher (ceiling)"),
        ("plain", "kd"),
        ("cod", "+CoD"),
        ("plain", "hard (no teacher, floor)"),
        ("cod", "+CoD"),
    ]
    assert all(each.summary is not None and each.summary.mean == 0.815 for each in table.rows[0].cells)


def test_the_teacher_has_no_row_where_its_number_means_nothing(rows: list[CellRow]) -> None:
    assert all(row.kind != "teacher" for row in result_table(rows, 0.815, AGREEMENT).rows)
    assert all(row.kind != "teacher" for row in result_table(rows, None, ACCURACY).rows)


def test_cells_that_the_recipe_asks_for_and_that_are_missing_are_gaps(rows: list[CellRow]) -> None:
    table = result_table(rows, None, ACCURACY, methods=["kd", "lwd"], k=[8, 32], arms=["plain", "cod"], seeds=range(3))
    assert cell(table, "lwd", "cod", 8).summary is None
    assert cell(table, "kd", "plain", 32).summary is None
    assert any("no finished cell" in note for note in table.footnotes)


def test_cod_alone_is_named_with_its_method(rows: list[CellRow]) -> None:
    only = [row for row in rows if row.arm == "cod"]
    assert [row.label for row in result_table(only, None, ACCURACY).rows] == ["kd +CoD", "hard +CoD"]


def test_optimistic_numbers_are_marked_from_the_cell_or_the_run(
    rows: list[CellRow], make_row: Callable[..., CellRow]
) -> None:
    best = [make_row("kd", "plain", 8, seed, 0.6, select="best_reported") for seed in range(3)]
    table = result_table([*rows[3:], *best], 0.815, ACCURACY)
    assert cell(table, "kd", "plain", 8).marks == "†"
    assert cell(table, "kd", "cod", 8).marks == ""
    whole = result_table(rows, 0.815, ACCURACY, optimistic=True)
    assert {each.marks for row in whole.rows if row.kind != "teacher" for each in row.cells if each.summary} == {"†"}
    assert any(note.startswith("†") for note in table.footnotes)


def test_unverified_marks_the_cod_arm_only(rows: list[CellRow]) -> None:
    table = result_table(rows, 0.815, ACCURACY, unverified=["cod"])
    assert cell(table, "kd", "cod", 8).marks == "‡"
    assert cell(table, "kd", "plain", 8).marks == ""
    assert any(note.startswith("‡") for note in table.footnotes)


def test_nan_is_shown_and_never_better(make_row: Callable[..., CellRow]) -> None:
    table = result_table([make_row("kd", "plain", 8, 0, math.nan), make_row("kd", "cod", 8, 0, 0.6)], None, ACCURACY)
    broken = cell(table, "kd", "plain", 8)
    assert broken.summary is not None
    assert math.isnan(broken.summary.mean)
    assert not any(each.better for each in table.cells)


def test_gains_are_paired_by_seed(rows: list[CellRow]) -> None:
    gains = {(gain.method, gain.k): gain for gain in paired_gains(rows, ACCURACY)}
    at_8 = gains["kd", 8].pairs  # .03, .04, .05
    assert at_8.summary.mean == pytest.approx(0.04)
    assert at_8.summary.sd == pytest.approx(0.01)
    assert (at_8.wins, at_8.losses, at_8.p) == (3, 0, 0.25)
    at_16 = gains["kd", 16].pairs  # -.01, -.02, -.03
    assert at_16.summary.mean == pytest.approx(-0.02)
    assert (at_16.wins, at_16.losses, at_16.p) == (0, 3, 0.25)
    assert (gains["kd", 8].outcome, gains["kd", 16].outcome, gains["hard", 8].outcome) == ("better", "worse", "equal")
    assert ("hard", 16) not in gains  # one arm alone


def test_gains_use_common_seeds_only(rows: list[CellRow]) -> None:
    fewer = [row for row in rows if row.place not in {("kd", "cod", 8, 2), ("kd", "plain", 8, 0)}]
    (gain,) = [gain for gain in paired_gains(fewer, ACCURACY) if (gain.method, gain.k) == ("kd", 8)]
    assert gain.seeds == (1,)
    assert gain.pairs.summary.mean == pytest.approx(0.04)
    assert gain.pairs.summary.sd is None


def test_the_sentence_counts_losses_too(rows: list[CellRow]) -> None:
    assert gains_in_words(paired_gains(rows, ACCURACY)) == (
        "By mean accuracy +CoD is better in 1, equal in 1 and worse in 1 of 3 settings (method x k)."
    )
    assert "no gain to report" in gains_in_words([])


def test_a_smaller_kl_is_a_better_outcome(rows: list[CellRow]) -> None:
    outcomes = {(gain.method, gain.k): gain.outcome for gain in paired_gains(rows, KL)}
    assert outcomes == {("kd", 8): "better", ("kd", 16): "worse", ("hard", 8): "equal"}


def test_the_control_is_between_plain_and_cod_and_has_its_own_gains(
    rows: list[CellRow], make_row: Callable[..., CellRow]
) -> None:
    control = [make_row("kd", "control", 8, seed, accuracy) for seed, accuracy in enumerate((0.99, 0.64, 0.63))]
    table = result_table([*rows, *control], None, ACCURACY, methods=["kd"], arms=["plain", "cod", "control"])
    assert [row.label for row in table.rows] == ["kd", "+control", "+CoD"]
    assert cell(table, "kd", "cod", 8).better and not cell(table, "kd", "control", 8).better
    assert any(note.startswith("+control: half of the examples are copies") for note in table.footnotes)
    [gain] = paired_gains([*rows, *control], ACCURACY, "control")
    assert (gain.method, gain.k, gain.over) == ("kd", 8, "control")
    assert gain.pairs.summary.mean == pytest.approx((0.63 - 0.99 + 0.66 - 0.64 + 0.69 - 0.63) / 3)
    assert "+CoD is better than +control in 0, equal in 0 and worse in 1 of 1" in gains_in_words([gain])
    assert paired_gains(rows, ACCURACY, "control") == []


def test_settings_are_pooled_seed_by_seed_over_the_seeds_that_all_have(make_row: Callable[..., CellRow]) -> None:
    cod = {("kd", 0): 0.6, ("kd", 1): 0.7, ("kd", 2): 0.1, ("ted", 0): 0.7, ("ted", 1): 0.5}
    rows = [
        make_row(method, arm, 8, seed, 0.5 if arm == "plain" else value)
        for (method, seed), value in cod.items()
        for arm in ("plain", "cod")
    ]
    gains = paired_gains(rows, ACCURACY)
    for order in (gains, gains[::-1]):
        together = pooled(order)
        assert together is not None
        # seed 0: the mean of .1 and .2; seed 1: of .2 and 0; seed 2 has one of the two alone
        assert (together.summary.n, together.wins, together.losses) == (2, 2, 0)
        assert together.summary.mean == pytest.approx(0.125)
        assert together.summary.smallest == pytest.approx(0.1)
    assert pooled([]) is None
    apart = paired_gains([row for row in rows if (row.method, row.seed) in (("kd", 0), ("ted", 1))], ACCURACY)
    assert len(apart) == 2 and pooled(apart) is None


@pytest.mark.parametrize(
    ("metric", "plain", "cod", "outcome"),
    [
        (ACCURACY, 0.6001, 0.6004, "equal"),
        (ACCURACY, 0.6, 0.601, "better"),
        (ACCURACY, 0.601, 0.6, "worse"),
        (KL, 0.6, 0.601, "worse"),
        (KL, 0.601, 0.6, "better"),
    ],
)
def test_a_gain_is_better_or_worse_as_the_table_shows_it(
    make_row: Callable[..., CellRow], metric: MetricRecord, plain: float, cod: float, outcome: str
) -> None:
    rows = [
        replace(make_row("kd", arm, 8, 0, 0.5), metrics={metric.name: value})
        for arm, value in (("plain", plain), ("cod", cod))
    ]
    (gain,) = paired_gains(rows, metric)
    assert gain.outcome == outcome
