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


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="metric",
        name="accuracy",
        title="Accuracy",
        options=NoOptions,
        build="codrun_metrics.metrics:Accuracy",
        summary="share of rows predicted as the gold label",
        higher_is_better=True,
    )
    yield Component(
        kind="metric",
        name="agreement",
        title="Agreement with the teacher",
        options=NoOptions,
        build="codrun_metrics.metrics:Agreement",
        summary="share of rows predicted as the teacher predicts them",
        higher_is_better=True,
    )
    yield Component(
        kind="metric",
        name="kl",
        title="KL divergence from the teacher",
        options=NoOptions,
        build="codrun_metrics.metrics:MeanKL",
        summary="mean KL(teacher || student), nats",
        higher_is_better=False,
    )
    yield Component(
        kind="metric",
        name="ece",
        title="Expected calibration error",
        options=ECEOptions,
        build="codrun_metrics.metrics:CalibrationError",
        summary="expected calibration error",
        higher_is_better=False,
    )
    yield Component(
        kind="metric",
        name="f1",
        title="Macro F1",
        options=NoOptions,
        build="codrun_metrics.metrics:MacroF1",
        summary="F1 averaged over classes",
        higher_is_better=True,
    )
