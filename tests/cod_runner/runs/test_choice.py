"""Which cell is shipped, and what is said of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from cod_runner.errors import CodrunError
from cod_runner.runs.choice import choose
from cod_runner.runs.records import CellRow


def cell(
    method: str = "kd",
    arm: str = "cod",
    k: int = 8,
    seed: int = 0,
    loss: float | None = None,
    accuracy: float | None = None,
    tested: float = 0.5,
    added: int | None = None,
) -> CellRow:
    return CellRow(
        f"{method}{arm}{k}{seed}",
        method,
        arm,
        k,
        seed,
        metrics={"accuracy": tested},
        added=added,
        held_out_rows=None if loss is None else 200,
        held_out_loss=loss,
        held_out_accuracy=accuracy,
    )


def test_the_smallest_loss_together_with_what_its_setting_does_in_the_mean() -> None:
    rows = [
        cell(seed=0, loss=0.5, accuracy=0.7),
        cell(seed=1, loss=0.4, accuracy=0.8),
        cell(k=16, seed=0, loss=0.39, accuracy=0.9),  # the best cell of all, of a setting that is worse in the mean
        cell(k=16, seed=1, loss=0.8, accuracy=0.5),
    ]
    choice = choose(rows)
    assert (choice.row, choice.by, choice.held_out_rows) == (rows[1], "held-out loss", 200)
    assert choice.runner_up == rows[2]
    expected = [(200 * 0.4 + 20 * 0.45) / 220, (200 * 0.39 + 20 * 0.595) / 220]
    assert [setting.expected_loss for setting in choice.settings] == pytest.approx(expected)
    assert choice.ahead == pytest.approx(expected[1] - expected[0])
    assert choice.sentences == [
        "chosen: kd cod k=8, seed 1: the smallest cross-entropy on held-out rows, 0.400 nats, accuracy 0.800 (200 "
        "rows, none of the evaluation split; over its setting's 2 seeds 0.450, which counts as 20 rows more)",
        "runner-up: kd cod k=16, seed 0, 0.004 nats behind",
    ]


def test_an_arm_that_gives_the_same_students_is_no_runner_up() -> None:
    rows = [
        cell(method, arm, seed=seed, loss=loss + seed / 10, accuracy=0.7)
        for method, arm, loss in (("hard", "plain", 0.5), ("hard", "pool", 0.5), ("kd", "plain", 0.6))
        for seed in (0, 1)
    ]
    choice = choose(rows, without_teacher=["hard"])
    assert choice.runner_up is not None and choice.runner_up.method == "kd"
    _, equal, runner_up = choice.sentences
    assert {choice.row.arm, choice.equals[0].setting[1]} == {"plain", "pool"}
    assert (
        equal
        == f"{choice.equals[0].name} is the same student: its method learns nothing from what sets these arms apart"
    )
    assert runner_up == "runner-up: kd plain k=8, seed 0, 0.100 nats behind"
    alone = choose(rows[:4])
    assert alone.runner_up is not None and (alone.runner_up.arm, alone.runner_up.seed) == (alone.row.arm, 1)
    other = choose([*rows[:3], replace(rows[3], held_out_loss=0.7)])
    assert other.equals == ()


def test_the_more_rows_the_more_a_cell_counts_by_itself() -> None:
    rows = [
        cell(seed=0, loss=0.5, accuracy=0.7),
        cell(seed=1, loss=0.4, accuracy=0.8),
        cell(k=16, seed=0, loss=0.38, accuracy=0.9),
        cell(k=16, seed=1, loss=0.7, accuracy=0.5),
    ]
    assert choose(rows).row == rows[2]
    assert choose([replace(row, held_out_rows=20) for row in rows]).row.k == 8


def test_no_label_of_the_evaluation_split_is_read() -> None:
    losses = {0: 0.6, 1: 0.3, 2: 0.5}
    rows = [cell(seed=seed, loss=loss, accuracy=0.6, tested=0.9 - seed / 10) for seed, loss in losses.items()]
    assert choose(rows).row.seed == 1
    assert choose([cell(seed=seed, loss=loss, accuracy=0.6) for seed, loss in losses.items()]).row.seed == 1


def test_among_seeds_of_one_setting_the_runner_up_is_the_next_seed() -> None:
    choice = choose([cell(seed=0, loss=0.5, accuracy=0.7), cell(seed=1, loss=0.4, accuracy=0.8)])
    assert choice.runner_up is not None
    assert choice.runner_up.seed == 0
    assert choice.ahead == pytest.approx(0.1)
    alone = choose([cell(loss=0.5, accuracy=0.7)])
    assert (alone.runner_up, alone.ahead, len(alone.sentences)) == (None, None, 1)


def test_equal_cells_are_told_apart_in_the_same_way_in_any_order() -> None:
    rows = [
        cell(seed=1, loss=0.5, accuracy=0.7),
        cell(seed=0, loss=0.5, accuracy=0.7),
        cell(seed=2, loss=0.5, accuracy=0.6),
        cell(arm="plain", seed=0, loss=0.5, accuracy=0.7),
        cell(arm="plain", seed=1, loss=0.5, accuracy=0.7),
        cell(arm="plain", seed=2, loss=0.5, accuracy=0.6),
    ]
    assert {choose(order).row.key for order in itertools.permutations(rows)} == {"kdcod80"}
    more = choose([*rows, cell(seed=3, loss=0.5, accuracy=0.9)])
    assert more.row.seed == 3


def test_without_held_out_rows_a_protocol_decides_and_says_so() -> None:
    rows = [
        cell("hard", "cod", 16, 0, added=8),
        cell("kd", "plain", 16, 0, tested=0.99),
        cell("kd", "cod", 16, 1, added=8),
        cell("kd", "cod", 16, 0, added=8),
        cell("kd", "cod", 8, 0, added=4),
    ]
    choice = choose(rows, without_teacher=["hard"])
    assert choice.row == rows[3]
    assert (choice.by, choice.held_out_rows, choice.ahead) == ("protocol", 0, None)
    assert choice.sentences == [
        "chosen: kd cod k=16, seed 0, by protocol, since no cell has held-out rows: the largest k, then a method with "
        "a teacher, then an arm that adds texts, then the smallest seed"
    ]


def test_cells_of_an_older_run_are_passed_over_and_counted() -> None:
    choice = choose(
        [cell(k=16, seed=0), cell(k=8, seed=0, loss=0.6, accuracy=0.6), cell(k=8, seed=1, loss=float("nan"))]
    )
    assert choice.row.k == 8
    assert choice.sentences[-1] == (
        "passed over: 2 cells that no held-out row scored; run them again with --fresh to compare them"
    )


def test_there_must_be_a_cell() -> None:
    with pytest.raises(CodrunError, match="no cell is finished"):
        choose([])
