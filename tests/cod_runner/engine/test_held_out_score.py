"""What held-out rows say of a student, against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from cod_runner.engine.held_out import FEWEST_ROWS, HeldOutScore, held_out_score


def saying(odds: float, right: int, wrong: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a student that always gives class 0 these log-odds, and gold labels of which it has so many right."""
    return torch.tensor([[odds, 0.0]] * (right + wrong)), torch.tensor([0] * right + [1] * wrong)


def test_the_temperature_makes_the_confidence_the_accuracy() -> None:
    score = held_out_score(*saying(4.0, 16, 4))
    assert (score.rows, score.accuracy) == (20, 0.8)
    # the confidence is .8 where the log-odds are log 4
    assert score.temperature == pytest.approx(4.0 / math.log(4), rel=0.02)
    assert score.loss == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2), abs=1e-4)


def test_the_loss_does_not_depend_on_the_size_of_the_logits() -> None:
    logits, labels = saying(2.0, 16, 4)
    assert held_out_score(logits * 2, labels).loss == pytest.approx(held_out_score(logits, labels).loss, abs=1e-4)


def test_a_student_that_is_hardly_sure_of_anything_is_made_surer() -> None:
    score = held_out_score(*saying(0.05, 16, 4))
    assert score.temperature == pytest.approx(0.05 / math.log(4), rel=0.02)


@pytest.mark.parametrize(
    ("odds", "right", "wrong", "why"),
    [
        (4.0, 20, 0, "all are right"),
        (4.0, 7, 2, "too few rows"),
    ],
)
def test_a_temperature_that_would_be_a_guess_is_left_out(odds: float, right: int, wrong: int, why: str) -> None:
    score = held_out_score(*saying(odds, right, wrong))
    assert score.temperature is None, why
    assert score.accuracy == right / (right + wrong)
    assert score.loss is not None


def test_a_student_that_knows_less_than_chance_is_made_as_unsure_as_can_be() -> None:
    assert held_out_score(*saying(4.0, 4, 16)).temperature == 10.0


def test_it_is_fitted_on_the_fewest_rows_that_are_enough() -> None:
    assert held_out_score(*saying(4.0, FEWEST_ROWS - 2, 2)).temperature is not None


def test_no_row_and_no_number_have_no_score() -> None:
    assert held_out_score(torch.empty(0, 2), torch.empty(0, dtype=torch.long)) == HeldOutScore(0)
    logits, labels = saying(4.0, 16, 4)
    logits[3] = math.nan
    assert held_out_score(logits, labels) == HeldOutScore(20)
