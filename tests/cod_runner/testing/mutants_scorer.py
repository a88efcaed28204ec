"""Teachers that only answer, each wrong in one thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import mutant_options as wrong
import torch
from mutant_table import mutant
from torch import Tensor

from cod_runner.api import BuildContext, Input, ModelShape

SURE = torch.log_softmax(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 1)


@mutant("teacher", options=wrong.Answers)
@mutant("teacher", options=wrong.AnswersWithShots)
@mutant(
    "teacher", "it has no `shape`, which every teacher whose options say that it offers hidden", wrong.AnswersWithStates
)
@mutant("teacher", "answers `answering` with None, and builds a label scorer")
class CountsWords:
    """Right."""

    at_once = 4

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.labels = context.labels
        self.shown = [str(shot.input) for shot in context.shots]

    @property
    def fingerprint(self) -> str:
        return json.dumps(["counts", self.shown])

    def score(self, inputs: Sequence[Input], progress: Any = lambda done, total: None) -> Tensor:
        progress(len(inputs), len(inputs))
        return SURE[[len(str(text)) % 2 for text in inputs]]

    def price(self, inputs: Sequence[Input]) -> float | None:
        return 0.0


@mutant("teacher", "and it has no `price`, which every teacher that only answers needs", wrong.Answers)
class NamesNoPrice:
    """Every other member."""

    at_once, labels = 4, ("negative", "positive")
    fingerprint, score = CountsWords.fingerprint, CountsWords.score

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.shown: list[str] = []


@mutant("teacher", "has the same fingerprint with other shots in its prompt", wrong.AnswersWithShots)
class ForgetsItsShots(CountsWords):
    fingerprint = "counts"  # type: ignore[assignment]


@mutant("teacher", r"has the labels \('positive', 'negative'\)", wrong.Answers)
class TurnsLabels(CountsWords):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.labels = self.labels[::-1]


@mutant("teacher", "has the `at_once` 0", wrong.Answers)
class NoneAtOnce(CountsWords):
    at_once = 0


class Answering(CountsWords):
    """Other answers than the right ones."""

    def score(self, inputs: Sequence[Input], progress: Any = lambda done, total: None) -> Any:
        return self.changed(super().score(inputs, progress))

    def changed(self, said: Tensor) -> Any:
        return said


@mutant("teacher", "gives other answers with `sharpness: 0.5` than with `sharpness: 1.0`", wrong.AnswersSharply)
class LeavesItsOptionOut(Answering):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.sharpness = options.sharpness

    def changed(self, said: Tensor) -> Any:
        return torch.log_softmax(said * self.sharpness, 1)


@mutant("teacher", "gives other answers .* and the same fingerprint", wrong.AnswersSharply, given={"sharpness": 2.0})
class LeavesItOutAgain(LeavesItsOptionOut):
    """Whatever the recipe says."""


@mutant("teacher", options=wrong.AnswersSharply)
class SaysItsOption(LeavesItsOptionOut):
    """Right."""

    @property
    def fingerprint(self) -> str:
        return json.dumps(["counts", self.sharpness])


@mutant("teacher", r"gives the shape \[20, 3\] for 20 inputs", wrong.Answers)
class OneMoreLabel(Answering):
    def changed(self, said: Tensor) -> Any:
        return torch.cat([said, said[:, :1]], 1)


@mutant("teacher", "gives torch.float64 on cpu", wrong.Answers)
class Double(Answering):
    def changed(self, said: Tensor) -> Any:
        return said.double()


@mutant("teacher", "gives a list, no tensor", wrong.Answers)
class Listed(CountsWords):
    def score(self, inputs: Sequence[Input], progress: Any = lambda done, total: None) -> Any:
        return super().score(inputs).tolist()


@mutant("teacher", "gives log-probabilities above 0", wrong.Answers)
class Probabilities(Answering):
    def changed(self, said: Tensor) -> Any:
        return said.exp()


@mutant("teacher", "gives log-probabilities that are not numbers", wrong.Answers)
class NotANumber(Answering):
    def changed(self, said: Tensor) -> Any:
        return said * float("nan")


@mutant("teacher", "answers otherwise when it is asked again", wrong.Answers)
class Samples(Answering):
    draws = torch.Generator().manual_seed(0)

    def changed(self, said: Tensor) -> Any:
        return torch.log_softmax(said + torch.randn(said.shape, generator=self.draws), 1)


@mutant("teacher", "answers otherwise in another order", wrong.Answers)
class ByPlace(Answering):
    def changed(self, said: Tensor) -> Any:
        return torch.log_softmax(said + torch.arange(len(said))[:, None] * torch.tensor([0.1, 0.0]), 1)


@mutant("teacher", "answers otherwise about a text alone", wrong.Answers)
class ByCompany(Answering):
    def changed(self, said: Tensor) -> Any:
        return torch.log_softmax(said * (1 + len(said) / 10), 1)


@mutant("teacher", "raised RuntimeError in `score`", wrong.Answers)
class CannotDoNothing(Answering):
    def changed(self, said: Tensor) -> Any:
        return torch.stack(list(said))


@mutant("teacher", r"counts \[\(1, 100\)\] of 20 inputs", wrong.Answers)
class CountsWrongly(CountsWords):
    def score(self, inputs: Sequence[Input], progress: Any = lambda done, total: None) -> Tensor:
        progress(1, 100)
        return super().score(inputs)


@mutant("teacher", "says that three answers cost -1", wrong.Answers)
class PaysBack(CountsWords):
    def price(self, inputs: Sequence[Input]) -> float | None:
        return -1


@mutant("teacher", options=wrong.AnswersWithStates)
class WithStates(CountsWords):
    """Right."""

    shape = ModelShape(layers=2, width=3, classes=2)

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Any = lambda done, total: None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return self.score(inputs), {layer: torch.ones(len(inputs), self.shape.width) for layer in layers}


@mutant("teacher", "gives no proper states of layer 0", wrong.AnswersWithStates)
class StatesOfTokens(WithStates):
    def states(self, inputs: Any, layers: Any, progress: Any = lambda done, total: None) -> Any:
        return self.score(inputs), {layer: torch.ones(len(inputs), 7, 3) for layer in layers}


@mutant("teacher", "gives other log-probabilities with states", wrong.AnswersWithStates)
class AnswersApart(WithStates):
    def states(self, inputs: Any, layers: Any, progress: Any = lambda done, total: None) -> Any:
        return self.score(inputs) - 1, super().states(inputs, layers)[1]
