"""Declares gaussian and theorem1; importing this does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class GaussianOptions(Options):
    """Standard normal vectors whose labels are drawn from a logistic model."""

    n: int = Field(2000, ge=4, description="vectors of the split `train`")
    validation: int = Field(2000, ge=2, description="vectors of the split `validation`")
    weights: list[float] = Field(min_length=1, description="w: class 1 has probability sigmoid(w.x)")
    seed: int = Field(0, ge=0, description="of the vectors and their labels")


class Theorem1Options(Options):
    """The grid over which the estimation errors are simulated."""

    norms: list[Annotated[float, Field(gt=0)]] = Field(
        default=[1, 2, 4, 8], min_length=1, description="|w|: how sure the teacher is"
    )
    dimensions: list[Annotated[int, Field(ge=1)]] = Field(
        default=[2, 5, 20], min_length=1, description="numbers in a vector"
    )
    overshoots: list[Annotated[float, Field(ge=0)]] = Field(
        default=[0, 0.1, 0.3], min_length=1, description="distance of a CFE past the boundary"
    )
    k: int = Field(200, ge=4, multiple_of=2, description="training points per arm")
    repeats: int = Field(200, ge=10, description="training sets drawn per point of the grid")
    seed: int = Field(0, ge=0, description="of the training sets")


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="dataset",
        name="gaussian",
        options=GaussianOptions,
        build="codrun_logistic.data:Gaussian",
        summary="normal vectors, labels from a logistic model",
    )
    yield Component(
        kind="tracker",
        name="theorem1",
        options=Theorem1Options,
        build="codrun_logistic.tracker:Theorem1",
        summary="estimation error of logistic students, in the run and over a grid (theorem 1)",
    )
