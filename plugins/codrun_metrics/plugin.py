"""Declares the metrics; importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class NoOptions(Options):
    """This metric has no options."""


class ECEOptions(Options):
    """Expected calibration error."""

    bins: int = Field(15, ge=1, description="bins of equal width over the confidence")


@hookimpl
def codrun_components() -> Iterator[Component]:
    measures = "codrun_metrics.measures"
    yield Component("metric", "accuracy", NoOptions, f"{measures}:Accuracy", "share of rows with the gold label")
    yield Component(
        "metric", "agreement", NoOptions, f"{measures}:Agreement", "share of rows decided as the teacher does"
    )
    yield Component("metric", "kl", NoOptions, f"{measures}:MeanKL", "mean KL(teacher || student), nats")
    yield Component("metric", "ece", ECEOptions, f"{measures}:CalibrationError", "expected calibration error")
    yield Component("metric", "f1", NoOptions, f"{measures}:MacroF1", "F1 averaged over classes")
