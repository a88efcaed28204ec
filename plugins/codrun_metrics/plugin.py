"""Declares the metrics; importing this does not import torch."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class NoOptions(Options):
    """This metric has no options."""


class ECEOptions(Options):
    """Expected calibration error."""

    bins: int = Field(15, ge=1, description="bins of equal width over the confidence")


METRICS: tuple[tuple[str, str, bool, type[Options], str, str], ...] = (
    ("accuracy", "Accuracy", True, NoOptions, "Accuracy", "share of rows predicted as the gold label"),
    (
        "agreement",
        "Agreement with the teacher",
        True,
        NoOptions,
        "Agreement",
        "share of rows predicted as the teacher predicts them",
    ),
    ("kl", "KL divergence from the teacher", False, NoOptions, "MeanKL", "mean KL(teacher || student), nats"),
    ("ece", "Expected calibration error", False, ECEOptions, "CalibrationError", "expected calibration error"),
    ("f1", "Macro F1", True, NoOptions, "MacroF1", "F1 averaged over classes"),
)
"""Name, title, whether higher is better, options, class and summary."""


@hookimpl
def codrun_components() -> Iterator[Component]:
    for name, title, higher_is_better, options, build, summary in METRICS:
        yield Component(
            "metric",
            name,
            options,
            f"codrun_metrics.metrics:{build}",
            summary,
            title=title,
            higher_is_better=higher_is_better,
        )
