"""The metrics. Each is called with the student's and the teacher's logits on the evaluation split."""

from __future__ import annotations

from torch.nn import functional

from cod_runner.api import BuildContext, Predictions, expected_calibration_error
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
    """Expected calibration error of the student; see :func:`cod_runner.reliability.expected_calibration_error`."""

    def __init__(self, options: ECEOptions, context: BuildContext) -> None:
        self.bins = options.bins

    def __call__(self, predictions: Predictions) -> float:
        return expected_calibration_error(predictions.student_logits, predictions.labels, self.bins)


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
