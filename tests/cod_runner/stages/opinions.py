"""A small world of texts, for tests of what arms train on: a data set, a teacher that weighs words and notes what it
reads, and makers that do what their options say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import (
    BuildContext,
    Choice,
    Choosing,
    Component,
    Encoded,
    Example,
    Input,
    LoadedData,
    Options,
    Outputs,
    Proposal,
    Request,
    Selection,
    TeacherView,
    hookimpl,
)
from cod_runner.testing.classifiers import TextClassifier

GOOD, BAD = ("great", "funny", "lovely", "good"), ("awful", "boring", "nasty", "bad")
WEIGHTS = {**dict.fromkeys(GOOD, 2.0), **dict.fromkeys(BAD, -2.0), "fine": 1.0, "dull": -1.0}
"""A word's share of the margin of the second class over the first."""
NOUNS = (
    "film story cast script ending music scene actor camera plot house river summer winter train letter doctor child "
    "city garden voice night morning table window street island teacher horse engine market bridge painter mirror"
).split()
ROWS, EVALUATED = 120, 20


def sentence(number: int) -> str:
    """Nine words: nouns around one opinion, of the class ``number % 2``."""
    dice = random.Random(number)
    drawn = dice.sample(NOUNS, 8)
    drawn.insert(1 + dice.randrange(7), dice.choice((BAD, GOOD)[number % 2]))
    return " ".join(drawn)


def opposite(word: str) -> str:
    return dict(zip((*GOOD, *BAD), (*BAD, *GOOD), strict=True))[word]


def edits(text: str) -> list[str]:
    """Of a text: a miss with a milder word, the same as the opposite (a flip), and a flip by two words before its last.

    The two flips change different words.
    """
    (opinion,) = (word for word in text.split() if word in GOOD or word in BAD)
    mild = "fine" if opinion in GOOD else "dull"
    added = " ".join([opposite(opinion)] * 2)
    *before, last = text.split()
    return [text.replace(opinion, mild), text.replace(opinion, opposite(opinion)), " ".join([*before, added, last])]


class Films:
    def __init__(self, options: Options, context: BuildContext) -> None: ...

    def load(self) -> LoadedData:
        rows = [Example(f"train:{number}", sentence(number), number % 2) for number in range(ROWS)]
        measured = [Example(f"validation:{n}", sentence(n), n % 2) for n in range(ROWS, ROWS + EVALUATED)]
        # Two that are an edit of a training text: a flip of one, and what a generator asks about on its way to another.
        measured.append(Example("validation:edit", edits(sentence(0))[1], 1))
        measured.append(Example("validation:asked", f"{sentence(1)} once", 1))
        return LoadedData(("negative", "positive"), {"train": rows, "validation": measured})


class Opinions(TextClassifier):
    """A teacher whose margin is the sum of its words' weights; ``READ`` holds every text that it has read."""

    READ: list[str] = []  # noqa: RUF012 - shared by design: the core builds teachers where it needs them

    def __init__(self, options: Options, context: BuildContext) -> None:
        super().__init__(context.labels, texts=[*WEIGHTS, *NOUNS], width=8, layers=1, seed=0)
        table = torch.zeros(len(self.vocabulary))
        for word, weight in WEIGHTS.items():
            table[self.vocabulary[word]] = weight
        self.register_buffer("weights", table)

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        self.READ += map(str, inputs)
        return super().encode(inputs)

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        outputs = super().forward(batch, hidden)
        margin = (self.weights[batch["ids"]] * batch["mask"]).sum(1)  # type: ignore[index]
        outputs.logits = torch.stack([-margin / 2, margin / 2], 1)
        return outputs


class Student(TextClassifier):
    def __init__(self, options: Options, context: BuildContext) -> None:
        super().__init__(context.labels, texts=[*WEIGHTS, *NOUNS], width=8, layers=1, seed=context.seed)


class EditOptions(Options):
    never: str = ""
    """Texts with this word get no candidate."""
    asks: bool = False
    """Whether it asks the teacher about two texts of its own for each request, and about one for all of them."""
    usd: float | None = 0.25


class Edits:
    """Proposes :func:`edits`."""

    rounds = 1

    def __init__(self, options: EditOptions, context: BuildContext) -> None:
        self.options = options

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        if self.options.asks:
            for request in requests:
                teacher.score([f"{request.input} once", f"{request.input} twice"], [request, request])
            teacher.score(["a list of words"])
        return [
            [] if self.options.never and self.options.never in str(request.input).split()
            else [Proposal(text, usd=self.options.usd) for text in edits(str(request.input))]
            for request in requests
        ]  # fmt: skip


class BackwardsOptions(Options):
    asks: int = 0
    broken: bool = False


class Backwards:
    """Ranks by text, backwards; asks the teacher about the first few and says that it embedded them all."""

    nested = True

    def __init__(self, options: BackwardsOptions, context: BuildContext) -> None:
        self.options = options

    def rank(self, selection: Selection) -> list[int]:
        selection.teacher.score(selection.inputs[: self.options.asks])
        selection.embedded(len(selection.inputs) if self.options.asks else 0)
        places = sorted(range(len(selection.inputs)), key=lambda place: str(selection.inputs[place]), reverse=True)
        return [*places[1:], places[1]] if self.options.broken else places


class BySize(Backwards):
    """Ranks otherwise for each size."""

    nested = False

    def rank(self, selection: Selection) -> list[int]:
        places = super().rank(selection)
        return places[selection.wanted :] + places[: selection.wanted]


class LastOptions(Options):
    asks: bool = False
    broken: bool = False
    steps: int = 0


class Last:
    """Takes the candidate that the core likes least; may ask the teacher and a briefly trained student."""

    nested = False
    HEARD: list[tuple[float, ...]] = []  # noqa: RUF012 - read by the tests

    def __init__(self, options: LastOptions, context: BuildContext) -> None:
        self.options = options

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        if self.options.asks:
            choosing.teacher.score(["what would you choose"])
        if self.options.steps:
            self.HEARD[:] = choosing.student([choice.original.input for choice in choices], self.options.steps)
        if self.options.broken:
            return [[99] for _ in choices]
        return [[*reversed(range(len(choice.candidates)))] for choice in choices]


class World:
    """The plugin."""

    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        made: list[tuple[Any, str, type[Options], type]] = [
            ("dataset", "films", Options, Films),
            ("teacher", "opinions", Options, Opinions),
            ("student", "opinions_student", Options, Student),
            ("generator", "edits", EditOptions, Edits),
            ("selector", "backwards", BackwardsOptions, Backwards),
            ("selector", "by_size", BackwardsOptions, BySize),
            ("chooser", "last", LastOptions, Last),
        ]
        for kind, name, options, build in made:
            yield Component(kind, name, options, f"{__name__}:{build.__name__}", f"the {kind} {name}")
