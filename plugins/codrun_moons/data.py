"""Two moons: the upper half of one circle, the lower half of another, and noise."""

from __future__ import annotations

import math
import random

from cod_runner.api import BuildContext, Example, LoadedData
from codrun_moons.plugin import MoonsOptions


class Moons:
    """Splits `train` and `validation`; points alternate between the classes."""

    def __init__(self, options: MoonsOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        draw = random.Random(f"moons {self.options.seed}")
        splits = {
            name: tuple(self._point(draw, f"{name}-{number}", number % 2) for number in range(count))
            for name, count in (("train", self.options.n), ("validation", self.options.validation))
        }
        return LoadedData(("upper", "lower"), splits)

    def _point(self, draw: random.Random, name: str, label: int) -> Example:
        angle = draw.uniform(0, math.pi)
        x, y = math.cos(angle), math.sin(angle)
        if label == 1:  # the other circle, turned over, its end in the first one's hollow
            x, y = 1 - x, 0.5 - y
        noise = self.options.noise
        return Example(name, (x + draw.gauss(0, noise), y + draw.gauss(0, noise)), label)
