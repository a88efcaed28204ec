"""Toy data that every check runs on: two classes, a few texts and points, and a small network that reads them."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from cod_runner.api import Attribution, Classifier, CodrunError, Example, Input, Request
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS

LABELS = ("negative", "positive")
_NEGATIVE = "bad dull awful boring sad weak".split()
_POSITIVE = "good fine great moving happy strong".split()
_NOUNS = "film story cast ending music plot".split()


def _texts() -> list[Example]:
    rows = []
    for number in range(24):
        label = number % 2
        words, place = (_NEGATIVE, _POSITIVE)[label], number // 2
        noun, other = _NOUNS[place % 6], _NOUNS[(place + 1 + number % 3) % 6]
        text = f"the {noun} is {words[place % 6]} and the {other} is never {words[(place + 1 + place // 6) % 6]}"
        rows.append(Example(f"text:{number}", text, label))
    return rows


def _points() -> list[Example]:
    drawn = random.Random(0)
    rows = []
    for number in range(24):
        label = number % 2
        rows.append(Example(f"point:{number}", (drawn.gauss(2.0 * label - 1.0, 0.5), drawn.gauss(0.0, 1.0)), label))
    return rows


TEXTS: tuple[Example, ...] = tuple(_texts())
"""Sentences about films, labelled in turn."""
POINTS: tuple[Example, ...] = tuple(_points())
"""Points in the plane, one cloud per class."""
ODD_TEXTS: tuple[str, ...] = ("", " ", "a", "naïve café 日本語 Ω", "BAD", *UNTRUSTED_TEXTS)
"""What files hold: nothing, one letter, other scripts, instructions, markup, control characters, a very long text."""
ODD_POINTS: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1e6, -1e6), (1e-9, 2.0))


@functools.cache
def _trained(texts: bool) -> Classifier:
    """Says mostly what the labels say; trained for a second at most."""
    rows = TEXTS if texts else POINTS
    inputs = [row.input for row in rows]
    model: Classifier
    if texts:
        model = TextClassifier(LABELS, texts=map(str, inputs), width=16, layers=2, seed=3)
    else:
        model = VectorClassifier(LABELS, seed=3)
    labels = torch.tensor([row.hard_label for row in rows])
    batch = model.collate(model.encode(inputs))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    with torch.random.fork_rng(), torch.enable_grad():
        for _ in range(30):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(batch).logits, labels).backward()
            optimiser.step()
    model.eval()
    for parameter in model.parameters():
        parameter.grad = None
    return model


def toy_teacher(texts: bool = True) -> Classifier:
    """A trained classifier of :data:`TEXTS` (or of :data:`POINTS`), the same one at each call: leave it as it is."""
    return _trained(texts)


FOR_WHOM = "the contract says: TeacherView.score: a generator says for which request each of its inputs is"


@dataclass
class CountingTeacher:
    """Implements :class:`cod_runner.api.TeacherView` and notes what it is asked."""

    texts: bool = True
    labels: tuple[str, ...] = LABELS
    asked: set[Input] = field(default_factory=set)
    """Inputs whose probabilities were wanted."""
    requests: dict[str, Input] = field(default_factory=dict)
    """The requests, by id, for which it may be asked; empty: nobody said."""
    asker: str = "the component"
    """Who asks, for sentences."""
    attributions: int = 0
    steps: int = 0

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """Probabilities, as the engine computes them: an input's answer does not depend on the others."""
        if asked_for:
            if len(asked_for) != len(inputs):  # raised, since pytest adds words of its own to an `assert`
                asks = f"{self.asker} asks the teacher about {len(inputs)} inputs for {len(asked_for)} requests"
                raise AssertionError(f"{asks}; {FOR_WHOM}")
            strange = [request.id for request in asked_for if request.id not in self.requests]
            if strange:
                asks = f"{self.asker} asks the teacher for `{strange[0]}`, which nobody requested"
                raise AssertionError(f"{asks}; {FOR_WHOM}")
        self.asked.update(inputs)
        model, found = toy_teacher(self.texts), []
        with torch.no_grad():
            for value in inputs:
                logits = model(model.collate(model.encode([value]))).logits[0]
                found.append(tuple(torch.softmax(logits.double(), 0).tolist()))
        return found

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        self.attributions += 1
        return [
            toy_teacher(self.texts).attribution([value], [target])[0]
            for value, target in zip(inputs, targets, strict=True)
        ]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        return toy_teacher(self.texts).distance(original, changed)

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        model = toy_teacher(self.texts)
        return model.word_vectors(words) if isinstance(model, TextClassifier) else [() for _ in words]

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """A text less its last word, a point moved on: a step that is the same each time."""
        self.steps += 1
        if not all(isinstance(value, str) for value in inputs):
            raise CodrunError("this teacher takes steps in texts alone")
        return [" ".join(str(value).split()[:-1]) or str(value) for value in inputs]
