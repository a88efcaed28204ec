"""A teacher as something that can be asked, whether it is a network that is opened or a model that only answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from cod_runner.api import Classifier, HiddenStateScorer, Input, LabelScorer, Mixture, ModelShape, Teacher
from cod_runner.engine.inference import each_row
from cod_runner.engine.outputs import Row
from cod_runner.errors import CodrunError, WrongResult

ONE_POSITION = (0,)
"""Token ids of an answer without tokens: it has one position, and is equal to no text of a classifier."""
LEAST = 1e-12
"""The smallest probability of an answer: a model that samples or truncates says 0, whose logarithm would make a loss
0 times infinity, and float32 does not tell the two apart."""


@dataclass(frozen=True)
class Answer:
    """What a teacher says about one input."""

    position: int
    """Among the inputs that were given."""
    ids: tuple[int, ...]
    """The token ids that it read; :data:`ONE_POSITION` where it only answers."""
    row: Row


Asks: TypeAlias = Callable[
    [Teacher, Sequence[Input], Sequence[int], str, Callable[[int, int], None]], Iterator[list[Answer]]
]
"""As :func:`each_answer`, called with all its arguments."""


def shape_of(teacher: Teacher) -> ModelShape:
    """The shape of what a teacher offers: no layers where it only answers."""
    if isinstance(teacher, HiddenStateScorer) or not isinstance(teacher, LabelScorer):
        return teacher.shape
    return ModelShape(layers=0, width=0, classes=len(teacher.labels))


def each_answer(
    teacher: Teacher,
    inputs: Sequence[Input],
    layers: Sequence[int],
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    at_once: int | None = None,
) -> Iterator[list[Answer]]:
    """Lists of answers, each complete before the next is asked for, so that the caller can store it; together they
    hold every input once. No answer depends on the inputs beside it. A network computes ``at_once`` batches at a time
    on a CPU, or one per core."""
    if isinstance(teacher, LabelScorer):
        yield from _scored(teacher, inputs, layers, progress)
        return
    for batch in each_row(teacher, inputs, layers, device, progress, at_once):
        yield [Answer(position, encoded.ids, row) for position, encoded, row in batch]


def _scored(
    scorer: LabelScorer, inputs: Sequence[Input], layers: Sequence[int], progress: Callable[[int, int], None]
) -> Iterator[list[Answer]]:
    _refuse_other_than_texts(inputs)
    # Inputs of like length together: the scorer pads them to one.
    order = sorted(range(len(inputs)), key=lambda position: (len(str(inputs[position])), position))
    for start in range(0, len(order), max(1, scorer.at_once)):
        positions = order[start : start + max(1, scorer.at_once)]
        asked = [inputs[position] for position in positions]

        def step(done: int, total: int, before: int = start) -> None:
            progress(before + done, len(order))

        states: dict[int, Tensor] = {}
        if layers:
            assert isinstance(scorer, HiddenStateScorer)  # the recipe was checked
            said, given = scorer.states(asked, layers, step)
            states = {layer: _checked_states(given, scorer, len(asked), layer) for layer in layers}
        else:
            said = scorer.score(asked, step)
        said = _checked(said, scorer, len(asked))
        progress(start + len(positions), len(order))
        yield [
            Answer(
                position,
                ONE_POSITION,
                Row(said[place].clone(), {layer: each[place : place + 1] for layer, each in states.items()}, 1, 0),
            )
            for place, position in enumerate(positions)
        ]


def _refuse_other_than_texts(inputs: Sequence[Input]) -> None:
    strange = next((value for value in inputs if not isinstance(value, str)), None)
    if strange is not None:
        what = "two texts mixed" if isinstance(strange, Mixture) else "a vector"
        raise CodrunError(
            f"the teacher only answers, about texts, and is to be asked about {what}; take a teacher that is a "
            "network, or leave out what is not a text"
        )


def _checked(said: Tensor, scorer: LabelScorer, inputs: int) -> Tensor:
    """Log-probabilities that add up to one, ``[inputs, classes]``, none below that of :data:`LEAST`."""
    classes = len(scorer.labels)
    if not isinstance(said, Tensor):
        raise _bug(f"a {type(said).__name__}, no tensor")
    if tuple(said.shape) != (inputs, classes):
        raise _bug(f"log-probabilities of the shape {list(said.shape)} for {inputs} inputs and {classes} labels")
    if torch.isnan(said).any() or (said == torch.inf).any():
        raise _bug("a log-probability that is not a number, or is infinite")
    said = torch.log_softmax(said.float().cpu(), dim=1)
    if torch.isnan(said).any():
        raise _bug("no label any probability")
    return said.clamp(min=math.log(LEAST))


def _checked_states(states: Mapping[int, Tensor], scorer: HiddenStateScorer, inputs: int, layer: int) -> Tensor:
    """``[inputs, width]``, float32, on the CPU."""
    if layer not in states:
        raise _bug(f"no states of layer {layer}")
    of_layer = states[layer]
    if tuple(of_layer.shape) != (inputs, scorer.shape.width):
        raise _bug(
            f"states of layer {layer} of the shape {list(of_layer.shape)} for {inputs} inputs and a width of "
            f"{scorer.shape.width}"
        )
    if not torch.isfinite(of_layer).all():
        raise _bug(f"states of layer {layer} that are not numbers")
    return of_layer.float().cpu()


def _bug(what: str) -> WrongResult:
    return WrongResult(f"the teacher's plugin gave {what}: a bug in it")


def network(teacher: Teacher) -> Classifier:
    """The teacher, where it must be a network; a recipe that needs one has been checked before."""
    assert not isinstance(teacher, LabelScorer)
    return teacher
