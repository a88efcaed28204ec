"""Metrics and measures of counterfactuals, each wrong in one thing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import mutant_options as wrong
import torch
from mutant_table import mutant

from cod_runner.api import BuildContext, Input, Predictions

DRAWN = random.Random(0)


@mutant("metric")
@mutant("metric", options=wrong.Scaled)
@mutant("metric", "where the student is right .* says `higher_is_better=False`", higher_is_better=False)
@mutant("metric", "has the title None", title=None)
class Accuracy:
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.options = options

    def __call__(self, predictions: Predictions) -> Any:
        right = predictions.student_logits.argmax(-1) == predictions.labels
        return float(right.float().mean())


@mutant("metric", "says `higher_is_better = False` and its component True")
class Disagrees(Accuracy):
    higher_is_better = False


@mutant("metric", r"gives tensor\(.*a Tensor")
class AsTensor(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        return torch.tensor(super().__call__(predictions))


@mutant("metric", "gives True, a bool")
class AsBool(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        return super().__call__(predictions) > -1


@mutant("metric", "gives nan for 1 predictions")
class NoSpreadOfOne(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        return float("nan") if len(predictions.labels) == 1 else super().__call__(predictions)


@mutant("metric", "changed the predictions that it was given")
class InPlace(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        predictions.student_logits.sub_(1)
        return super().__call__(predictions)


@mutant("metric", "and then .* for the same predictions")
class ByChance(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        return DRAWN.random()


@mutant("metric", "for the rows in another order")
class FirstRows(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        weights = torch.arange(len(predictions.labels)) + 1.0
        right = predictions.student_logits.argmax(-1) == predictions.labels
        return float((right * weights).sum() / weights.sum())


@mutant("metric", "raised RuntimeError for 33 predictions")
class TwoClasses(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        predictions.student_logits.view(-1, 2) if predictions.student_logits.shape[1] == 5 else None
        return super().__call__(predictions)


@mutant("metric", "gives other results with `scale: ", wrong.ScaleLeftOut)
class ByScale(Accuracy):
    def __call__(self, predictions: Predictions) -> Any:
        return super().__call__(predictions) * self.options.scale


@mutant("cfe_measure")
@mutant("cfe_measure", options=wrong.Scaled)
class Longer:
    """Right."""

    title: Any = "characters more"

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.options = options

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> Any:
        return [self.of(original, changed, place) for place, (original, changed) in enumerate(pairs)]

    def of(self, original: Input, changed: Input, place: int) -> Any:
        return float(len(str(changed)) - len(str(original)))


@mutant("cfe_measure", "has the title ''")
class Untitled(Longer):
    title = ""


@mutant("cfe_measure", "for 21 pairs")
class OneTooFew(Longer):
    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> Any:
        return super().__call__(pairs)[:-1]


@mutant("cfe_measure", r"gives nan for \('', ' '\)")
class NotANumber(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return float("nan") if not original else super().of(original, changed, place)


@mutant("cfe_measure", "gives '0.0' for ")
class AsText(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return str(super().of(original, changed, place))


@mutant("cfe_measure", "raised ZeroDivisionError for 21 pairs")
class OverNothing(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return len(str(changed)) / len(str(original))


@mutant("cfe_measure", "gives other values when it is asked again")
class ByChanceHere(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return DRAWN.random()


@mutant("cfe_measure", "gives other values when the pairs come in another order")
class ByPlace(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return float(place)


@mutant("cfe_measure", "gives a pair another value alone than among others")
class OverTheMean(Longer):
    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> Any:
        values = super().__call__(pairs)
        return [value - sum(values) / len(values) for value in sorted(values)] if len(pairs) < 2 else values


@mutant("cfe_measure", "changed the pairs that it was given")
class TakesPairsAway(Longer):
    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> Any:
        values = super().__call__(pairs)
        pairs.reverse()  # type: ignore[attr-defined]
        return values


@mutant("cfe_measure", "gives other results with `scale: ", wrong.ScaleLeftOut)
class ByScaleHere(Longer):
    def of(self, original: Input, changed: Input, place: int) -> Any:
        return super().of(original, changed, place) * self.options.scale
