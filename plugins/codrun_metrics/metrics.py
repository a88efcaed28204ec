"""The metrics. Each is called with the student's and the teacher's logits on the evaluation split."""

from __future__ import annotations

import torch
from torch.nn import functional

from cod_runner.api import BuildContext, Predictions
from codrun_metrics.plugin import ECEOptions, NoOptions


class Accuracy:
    """Share of rows whose likeliest class is the gold one."""

    def __init__(self, options: NoOptions, context: BuildContext) -> None:
        """No options."""

    def __call__(self, predictions: Predictions) -> float:
        return float((predictions.student_logits.argmax(-1) == predictions.labels).double().mean())


class Agreement:
    """Share of rows for which student and teacher predict the same class (fidelity)."""

    def __init__(self, options: NoOptions, context: BuildContext) -> None:
        """No options."""

    def __call__(self, predictions: Predictions) -> float:
        alike = predictions.student_logits.argmax(-1) == predictions.teacher_logits.argmax(-1)
        return float(alike.double().mean())


class MeanKL:
    """Mean over rows of KL(teacher || student) at temperature 1, in nats."""

    def __init__(self, options: NoOptions, context: BuildContext) -> None:
        """No options."""

    def __call__(self, predictions: Predictions) -> float:
        student = functional.log_softmax(predictions.student_logits.double(), -1)
        teacher = functional.log_softmax(predictions.teacher_logits.double(), -1)
        return float(functional.kl_div(student, teacher, reduction="batchmean", log_target=True))


class CalibrationError:
    """Expected calibration error (Naeini et al., 2015): over bins of equal width of the student's confidence, the
    mean of |accuracy - confidence|, weighted by the rows in each. A confidence on an edge falls into the lower bin."""

    def __init__(self, options: ECEOptions, context: BuildContext) -> None:
        self.bins = options.bins

    def __call__(self, predictions: Predictions) -> float:
        confidence, chosen = torch.softmax(predictions.student_logits.double(), -1).max(-1)
        right = (chosen == predictions.labels).double()
        place = (torch.ceil(confidence * self.bins) - 1).clamp(0, self.bins - 1).long()
        gap = torch.zeros(self.bins, dtype=torch.float64).index_add(0, place, right - confidence)
        return float(gap.abs().sum() / len(right))


class MacroF1:
    """2 TP / (2 TP + FP + FN) per class, averaged over the classes that student or gold labels contain."""

    def __init__(self, options: NoOptions, context: BuildContext) -> None:
        """No options."""

    def __call__(self, predictions: Predictions) -> float:
        chosen = predictions.student_logits.argmax(-1)
        scores = []
        for label in range(predictions.student_logits.shape[-1]):
            ours, gold = chosen == label, predictions.labels == label
            named = int(ours.sum()) + int(gold.sum())
            if named:
                scores.append(2 * int((ours & gold).sum()) / named)
        return sum(scores) / len(scores)
