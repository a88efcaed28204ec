"""A teacher that only answers, for tests: it weighs the words of the world of ``opinions.py``, leans towards its last
class, and notes what it is asked. It may offer hidden states, cost something, or die on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cod_runner.api import (
    Answering,
    BuildContext,
    CallEstimate,
    Component,
    Input,
    ModelShape,
    Options,
    ProviderError,
    hookimpl,
)

LEANING = 1.5
"""Nats that it adds to the margin of its last class over the others."""
WEIGHTS = {
    **dict.fromkeys(("great", "funny", "lovely", "good"), 2.0),
    **dict.fromkeys(("awful", "boring", "nasty", "bad"), -2.0),
    "fine": 1.0,
    "dull": -1.0,
}
"""A word's share of that margin: those of ``opinions.py``."""
Step = Callable[[int, int], None]


def nothing(done: int, total: int) -> None: ...


def leaning_answer(text: str) -> list[float]:
    """Log-odds of two classes."""
    margin = LEANING + sum(WEIGHTS.get(word, 0.0) for word in text.split())
    return [-margin / 2, margin / 2]


class AnswersOptions(Options):
    shots: int = 0
    seed: int = 0
    leave_one_out: bool = True
    hint: str = ""
    usd: float | None = 0.0
    """Of one answer."""
    paid: bool = False
    """Whether each answer is a call that the run's budget must have room for."""

    def answering(self) -> Answering:
        return Answering(self.shots, self.seed, leave_one_out=self.leave_one_out, leave_one_out_hint=self.hint)

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate | None:
        if not self.paid:
            return None
        usd = None if self.usd is None else examples * self.usd
        return CallEstimate("paid", examples, 2 * examples, 10 * examples, 20 * examples, usd, usd and 2 * usd)


class StatesOptions(AnswersOptions):
    def answering(self) -> Answering:
        return Answering(self.shots, self.seed, hidden_states=True)


class Answers:
    """Kind ``teacher``."""

    ASKED: list[str] = []  # noqa: RUF012 - shared by design: the core builds teachers where it needs them
    SHOWN: list[str] = []  # noqa: RUF012 - likewise
    NOTE: Path | None = None
    """A file that each text is written into when it is answered."""
    DIES_AFTER: int | None = None
    """The process kills itself when it is asked about one text more."""

    at_once = 7

    def __init__(self, options: AnswersOptions, context: BuildContext) -> None:
        self.labels, self.options, self._spending = context.labels, options, context.spending
        self.SHOWN[:] = [str(shot.input) for shot in context.shots]
        self._name = f"{type(self).__name__} {self.SHOWN} {context.describe} {self.labels}"

    @property
    def fingerprint(self) -> str:
        return self._name

    def score(self, inputs: Sequence[Input], progress: Step = nothing) -> Tensor:
        return torch.stack([self._answer(str(value)) for value in inputs])

    def price(self, inputs: Sequence[Input]) -> float | None:
        return None if self.options.usd is None else self.options.usd * len(inputs)

    def _answer(self, text: str) -> Tensor:
        if self.DIES_AFTER is not None and len(self.ASKED) >= self.DIES_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.options.paid:
            assert self._spending is not None
            held = self._spending.reserve(10, self.options.usd)
            if held is None:
                raise ProviderError("nothing is in flight, and yet there is no room")
            self._spending.settle(held, 10, self.options.usd)
        self.ASKED.append(text)
        if self.NOTE is not None:
            with self.NOTE.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        margins = leaning_answer(text)
        return torch.log_softmax(torch.tensor([*[margins[0]] * (len(self.labels) - 1), margins[-1]]), 0)


class States(Answers):
    """With the hidden states of three layers, four numbers each: how often each sort of word occurs."""

    shape = ModelShape(layers=2, width=4, classes=2)

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Step = nothing
    ) -> tuple[Tensor, dict[int, Tensor]]:
        texts = [str(value).split() for value in inputs]
        counts = torch.tensor(
            [
                [
                    float(len(words)),
                    *(sum(WEIGHTS.get(word, 0) == weight for word in words) * 1.0 for weight in (2, -2, 1)),
                ]
                for words in texts
            ]
        )
        stacked = torch.stack([counts * (layer + 1) for layer in range(3)])  # one storage behind all layers
        return self.score(inputs, progress), {layer: stacked[layer] for layer in layers}


class Scorers:
    """The plugin."""

    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("teacher", "answers", AnswersOptions, f"{__name__}:Answers", "weighs words")
        yield Component("teacher", "states", StatesOptions, f"{__name__}:States", "weighs words, shows its states")


DECLARED = """
from cod_runner.api import Answering, Component, Options, hookimpl
class AnswersOptions(Options):
    def answering(self):
        return Answering()
class Declared:
    @staticmethod
    @hookimpl
    def codrun_components():
        yield Component("teacher", "answers", AnswersOptions, "never:built", "")
"""
"""A module that declares the teacher, for a process of its own that must import nothing heavy."""
