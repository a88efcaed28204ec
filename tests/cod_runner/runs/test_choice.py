"""Which cell is shipped, and what is said of it."""

from __future__ import annotations

import itertools

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


def test_the_setting_with_the_best_mean_and_then_its_best_seed() -> None:
    rows = [
        cell(seed=0, loss=0.5, accuracy=0.7),
        cell(seed=1, loss=0.4, accuracy=0.8),
        cell(k=16, seed=0, loss=0.2, accuracy=0.9),  # the best cell of all, of a setting that is worse in the mean
        cell(k=16, seed=1, loss=0.8, accuracy=0.5),
    ]
    choice = choose(rows)
    assert (choice.row, choice.by, choice.held_out_rows) == (rows[1], "held-out loss", 200)
    assert choice.runner_up == rows[2]
    assert choice.ahead == pytest.approx(0.05)
    assert choice.sentences == [
        "chosen: kd cod k=8, seed 1: of all settings it has the smallest cross-entropy on held-out rows, 0.450 nats as "
        "the mean over 2 seeds (accuracy 0.750), and this seed the smallest of them, 0.400 (200 rows; none of the "
        "evaluation split)",
        "runner-up: kd cod k=16, seed 0, 0.050 nats behind",
    ]


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
