"""Vectors from a standard normal, labels from a logistic model: Theorem 1's setting."""

from __future__ import annotations

import math
import random

from cod_runner.api import BuildContext, Example, LoadedData
from codrun_logistic.plugin import GaussianOptions

LEAST_MARGIN = -700.0
"""Below it the other class is certain in float64, and the exponential would overflow."""


class Gaussian:
    """Splits `train` and `validation`. x ~ N(0, I), P(label 1) = sigmoid(w.x)."""

    def __init__(self, options: GaussianOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        draw = random.Random(f"gaussian {self.options.seed}")
        splits = {
            name: tuple(self._drawn(draw, f"{name}-{number}") for number in range(count))
            for name, count in (("train", self.options.n), ("validation", self.options.validation))
        }
        return LoadedData(("below", "above"), splits)

    def _drawn(self, draw: random.Random, name: str) -> Example:
        vector = tuple(draw.gauss(0, 1) for _ in self.options.weights)
        margin = sum(weight * at for weight, at in zip(self.options.weights, vector, strict=True))
        chance = 1 / (1 + math.exp(-margin)) if margin > LEAST_MARGIN else 0.0
        return Example(name, vector, int(draw.random() < chance))
