"""Times in words, and an estimate that is not silly."""

from __future__ import annotations

import pytest

from cod_runner.durations import Pace, in_words, left_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"), (3900, "1 h 05 min"), (90000, "25 h 00 min"),
    ],
)  # fmt: skip
def test_a_duration(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (8.4, "8 s"), (12, "10 s"), (57, "55 s"), (58, "1 min"), (89, "1 min"), (3400, "57 min"),
     (3500, "1 h 00 min"), (4700, "1 h 20 min")],
)  # fmt: skip
def test_what_is_left_is_rounded(seconds: float, words: str) -> None:
    assert left_in_words(seconds) == f"about {words} left"


def test_nothing_is_estimated_before_it_is_known() -> None:
    pace = Pace()
    assert pace.left(0.0) is None
    pace.step(0.0, 0, 100)
    assert pace.left(60.0) is None, "no step is done"
    pace.step(1.0, 1, 100)
    assert pace.left(1.0) is None, "one step in one second: it may be the slow first one"
    pace.step(6.0, 10, 100)
    assert pace.left(6.0) == pytest.approx(54.0)
    assert pace.left(10.0) == pytest.approx(50.0), "it runs down between two steps"


def test_what_was_done_before_is_no_speed() -> None:
    pace = Pace()
    pace.step(0.0, 900, 1000)
    pace.step(10.0, 910, 1000)
    assert pace.left(10.0) == pytest.approx(90.0)


def test_of_cells_that_train_together_one_says_nothing() -> None:
    pace = Pace(at_once=2)
    pace.step(0.0, 0, 6)
    pace.step(10.0, 1, 6)
    assert pace.left(10.0) is None
    pace.step(11.0, 2, 6)
    assert pace.left(11.0) == pytest.approx(22.0)


def test_an_overdue_step_is_not_estimated_and_neither_is_the_end() -> None:
    pace = Pace()
    pace.step(0.0, 0, 4)
    pace.step(10.0, 2, 4)
    assert pace.left(21.0) is None
    pace.step(30.0, 4, 4)
    assert pace.left(30.0) is None


def test_a_bar_that_begins_again_is_measured_anew() -> None:
    pace = Pace()
    pace.step(0.0, 0, 10)
    pace.step(10.0, 9, 10)
    pace.step(11.0, 0, 10)
    pace.step(21.0, 5, 10)
    assert pace.left(21.0) == pytest.approx(10.0)
