"""Declares moons, mlp, gradient and boundaries; importing this does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator, model_validator

from cod_runner.api import Component, ModelShape, Options, ShapeEstimate, hookimpl


class MoonsOptions(Options):
    """Two interleaving half circles in the plane."""

    n: int = Field(1000, ge=4, description="points of the split `train`, half of them per class")
    validation: int = Field(1000, ge=2, description="points of the split `validation`")
    noise: float = Field(0.2, ge=0, description="standard deviation of the Gaussian noise on each coordinate")
    seed: int = Field(0, ge=0, description="of the points and their noise")


class MLPOptions(Options):
    """A multi-layer perceptron over vectors."""

    inputs: int = Field(2, ge=1, description="numbers in a vector")
    hidden: list[int] = Field(
        default=[64, 64], description="units per hidden layer, all of one width; []: logistic regression"
    )
    activation: Literal["relu", "tanh", "gelu"] = Field("relu", description="what follows each hidden layer")
    margin_weights: list[float] | None = Field(
        None, description="two classes and `hidden: []` only: w of the margin w.x, given instead of trained"
    )

    @model_validator(mode="after")
    def _fits(self) -> MLPOptions:
        if any(units < 1 for units in self.hidden):
            raise ValueError("a hidden layer needs at least 1 unit")
        if len(set(self.hidden)) > 1:
            raise ValueError("hidden layers must have one width, which losses on hidden states rely on")
        if self.margin_weights is not None and (self.hidden or len(self.margin_weights) != self.inputs):
            raise ValueError("`margin_weights` needs `hidden: []` and as many numbers as `inputs`")
        return self

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate:
        """A vector is one position, and there are two classes."""
        sizes = [self.inputs, *self.hidden, 2]
        numbers = sum(before * after + after for before, after in pairwise(sizes))
        return ShapeEstimate(ModelShape(len(self.hidden), sizes[-2], classes=0), longest=1, bytes=4 * numbers)


class GradientOptions(Options):
    """Walks up the gradient of the teacher's logit margin until the teacher's prediction flips."""

    step: float = Field(0.1, gt=0, description="Euclidean length of a step")
    max_steps: int = Field(100, ge=1, description="after so many steps without a flip the search gives up")
    halvings: int = Field(0, ge=0, le=60, description="bisections of the last step, back towards the boundary; 0: none")
    overshoot: float = Field(0.0, ge=0, description="distance walked past the flip")

    def asks_for_gradients(self) -> bool:
        """It walks along them."""
        return True


class BoundariesOptions(Options):
    """Draws and measures decision boundaries in the plane."""

    grid: int = Field(300, ge=20, le=2000, description="points per side of the grid from which the boundaries are read")
    window: tuple[tuple[float, float], tuple[float, float]] | None = Field(
        None, description="[[x from, x to], [y from, y to]]; absent: the data's bounding box"
    )

    @field_validator("window")
    @classmethod
    def _from_less_to_more(
        cls, value: tuple[tuple[float, float], tuple[float, float]] | None
    ) -> tuple[tuple[float, float], tuple[float, float]] | None:
        if value is not None and any(low >= high for low, high in value):
            raise ValueError("each of its sides must go from a smaller to a larger number")
        return value


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="dataset",
        name="moons",
        options=MoonsOptions,
        build="codrun_moons.data:Moons",
        summary="two half circles in the plane",
    )
    for kind in ("teacher", "student"):
        yield Component(
            kind=kind,
            name="mlp",
            options=MLPOptions,
            build="codrun_moons.classifier:build",
            summary="a multi-layer perceptron over vectors",
        )
    yield Component(
        kind="generator",
        name="gradient",
        options=GradientOptions,
        build="codrun_moons.gradient:Gradient",
        summary="steps along the teacher's margin",
    )
    yield Component(
        kind="tracker",
        name="boundaries",
        options=BoundariesOptions,
        build="codrun_moons.tracker:Boundaries",
        summary="draws both boundaries in the plane; Hausdorff distance, alpha, epsilon (theorem 2)",
    )
