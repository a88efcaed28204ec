"""The expected calibration error against values by hand; that of a student is tested with the metrics."""

from __future__ import annotations

import pytest
import torch

from cod_runner.reliability import expected_calibration_error


def error(*rows: tuple[float, int, int], bins: int = 10) -> float:
    """Of rows (probability of the second class, its label, how often)."""
    said = [[1 - p, p] for p, _, count in rows for _ in range(count)]
    labels = [label for _, label, count in rows for _ in range(count)]
    return expected_calibration_error(torch.tensor(said, dtype=torch.float64).log(), torch.tensor(labels), bins)


def test_one_bin() -> None:
    assert error((0.75, 1, 3), (0.75, 0, 1)) == pytest.approx(0)
    assert error((0.75, 1, 1), (0.75, 0, 1)) == pytest.approx(0.25)
    assert error((0.75, 1, 4)) == pytest.approx(0.25)


def test_bins_are_weighed_by_their_rows() -> None:
    assert error((0.75, 1, 4), (0.95, 0, 1)) == pytest.approx((4 * 0.25 + 1 * 0.95) / 5)
    assert error((0.72, 1, 1), (0.78, 0, 1), bins=10) == pytest.approx(abs(0.5 - 0.75)), "of one bin the mean counts"
    assert error((0.72, 1, 1), (0.78, 0, 1), bins=100) == pytest.approx((0.28 + 0.78) / 2)


def test_the_confidence_is_in_the_class_that_is_chosen() -> None:
    assert error((0.25, 0, 4)) == pytest.approx(0.25)
    assert error((0.1, 1, 1)) == pytest.approx(0.9)


def test_answers_that_are_no_logits_but_log_probabilities_make_no_difference() -> None:
    said = torch.randn(30, 3, generator=torch.manual_seed(0))
    labels = torch.arange(30) % 3
    shifted = said + torch.arange(30.0)[:, None]
    assert expected_calibration_error(said, labels) == pytest.approx(expected_calibration_error(shifted, labels))


def test_of_three_classes_the_likeliest_counts() -> None:
    said = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]], dtype=torch.float64).log()
    assert expected_calibration_error(said, torch.tensor([0, 0])) == pytest.approx(0.4)
    assert expected_calibration_error(said, torch.tensor([0, 2])) == pytest.approx(0.1)
