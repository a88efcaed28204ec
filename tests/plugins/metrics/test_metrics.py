"""The metrics against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from cod_runner.api import BuildContext, Predictions
from codrun_metrics.metrics import Accuracy, Agreement, CalibrationError, MacroF1, MeanKL
from codrun_metrics.plugin import ECEOptions, NoOptions, codrun_components

CONTEXT = BuildContext()


def _predictions(student: list[list[float]], teacher: list[list[float]], labels: list[int]) -> Predictions:
    """From probabilities."""
    return Predictions(torch.tensor(student).log(), torch.tensor(teacher).log(), torch.tensor(labels))


FOUR = _predictions(
    student=[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]],
    teacher=[[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.6, 0.4]],
    labels=[0, 1, 1, 1],
)


def test_each_declares_its_title_and_which_way_is_better() -> None:
    assert {each.name: (each.title, each.higher_is_better) for each in codrun_components()} == {
        "accuracy": ("Accuracy", True),
        "agreement": ("Agreement with the teacher", True),
        "kl": ("KL divergence from the teacher", False),
        "ece": ("Expected calibration error", False),
        "f1": ("Macro F1", True),
    }


def test_accuracy_and_agreement() -> None:
    assert Accuracy(NoOptions(), CONTEXT)(FOUR) == 0.75
    assert Agreement(NoOptions(), CONTEXT)(FOUR) == 0.5


def test_kl_is_from_teacher_to_student_in_nats() -> None:
    two = _predictions([[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.75], [0.25, 0.75]], [0, 0])
    wanted = (0.25 * math.log(0.5) + 0.75 * math.log(1.5) + 0.0) / 2
    assert MeanKL(NoOptions(), CONTEXT)(two) == pytest.approx(wanted, abs=1e-7)


def test_ece_weighs_each_bins_gap_by_its_rows() -> None:
    four = _predictions([[0.95, 0.05], [0.65, 0.35], [0.15, 0.85], [0.25, 0.75]], [[0.5, 0.5]] * 4, [0, 1, 1, 1])
    # Two bins, (0, .5] and (.5, 1]: all four rows fall into the upper one; 3 of 4 are right, mean confidence .8.
    assert CalibrationError(ECEOptions(bins=2), CONTEXT)(four) == pytest.approx(0.05, abs=1e-6)
    # Ten bins: each row alone, with the gaps .05, .65, .15, .25.
    assert CalibrationError(ECEOptions(bins=10), CONTEXT)(four) == pytest.approx(1.10 / 4, abs=1e-6)


def test_ece_of_a_sure_student_is_its_error() -> None:
    sure = Predictions(torch.tensor([[99.0, -99.0]] * 4), torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    assert CalibrationError(ECEOptions(), CONTEXT)(sure) == pytest.approx(0.25)


def test_macro_f1_averages_over_classes() -> None:
    # Class 0: 1 hit, 2 named, 1 gold: 2/3. Class 1: 2 hits, 2 named, 3 gold: 4/5.
    assert MacroF1(NoOptions(), CONTEXT)(FOUR) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_macro_f1_omits_a_class_that_nobody_names_and_counts_one_that_is_missed() -> None:
    one = torch.tensor([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    absent = Predictions(one, one, torch.tensor([0, 0]))
    assert MacroF1(NoOptions(), CONTEXT)(absent) == 1.0
    missed = Predictions(one, one, torch.tensor([0, 1]))
    assert MacroF1(NoOptions(), CONTEXT)(missed) == pytest.approx((2 / 3 + 0) / 2)


def test_f1_counts_a_class_that_the_student_alone_names_and_no_class_that_nobody_does() -> None:
    two = _predictions([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], [[0.4, 0.3, 0.3]] * 2, [0, 0])
    assert MacroF1(NoOptions(), CONTEXT)(two) == pytest.approx((2 / 3 + 0) / 2)
