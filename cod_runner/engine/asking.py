"""A teacher as something that can be asked, whether it is a network that is opened or a model that only answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cod_runner.api import Classifier, HiddenStateScorer, Input, LabelScorer, ModelShape, Teacher
from cod_runner.engine.inference import each_row
from cod_runner.engine.outputs import Row
from cod_runner.errors import PluginError

ONE_POSITION = (0,)
"""Token ids of an answer without tokens: it has one position, and is equal to no text of a classifier."""


@dataclass(frozen=True)
class Answer:
    """What a teacher says about one input."""

    position: int
    """Among the inputs that were given."""
    ids: tuple[int, ...]
    """The token ids that it read; :data:`ONE_POSITION` where it only answers."""
    row: Row


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
) -> Iterator[list[Answer]]:
    """Lists of answers, each complete before the next is asked for, so that the caller can store it; together they
    hold every input once. No answer depends on the inputs beside it."""
    if isinstance(teacher, LabelScorer):
        yield from _scored(teacher, inputs, layers, progress)
        return
    for batch in each_row(teacher, inputs, layers, device, progress):
        yield [Answer(position, encoded.ids, row) for position, encoded, row in batch]


def _scored(
    scorer: LabelScorer, inputs: Sequence[Input], layers: Sequence[int], progress: Callable[[int, int], None]
) -> Iterator[list[Answer]]:
    # Inputs of like length together: the scorer pads them to one.
    order = sorted(range(len(inputs)), key=lambda position: (len(str(inputs[position])), position))
    for start in range(0, len(order), max(1, scorer.at_once)):
        positions = order[start : start + max(1, scorer.at_once)]
        asked = [inputs[position] for position in positions]

        def step(done: int, total: int, before: int = start) -> None:
            progress(before + done, len(order))

        hidden: dict[int, Tensor] = {}
        if layers:
            assert isinstance(scorer, HiddenStateScorer)  # the recipe was checked
            said, hidden = scorer.states(asked, layers, step)
        else:
            said = scorer.score(asked, step)
        said = _checked(said, scorer, len(asked))
        progress(start + len(positions), len(order))
        yield [
            Answer(
                position,
                ONE_POSITION,
                Row(said[place].clone(), {layer: states[place : place + 1] for layer, states in hidden.items()}, 1, 0),
            )
            for place, position in enumerate(positions)
        ]


def _checked(said: Tensor, scorer: LabelScorer, inputs: int) -> Tensor:
    """Log-probabilities that add up to one, ``[inputs, classes]``."""
    if tuple(said.shape) != (inputs, len(scorer.labels)) or torch.isnan(said).any() or (said == torch.inf).any():
        raise PluginError(
            f"the teacher's plugin gave {list(said.shape)} log-probabilities, some of them perhaps not numbers, for "
            f"{inputs} inputs and {len(scorer.labels)} labels: a bug in it"
        )
    return torch.log_softmax(said.float().cpu(), dim=1)


def is_network(teacher: Teacher) -> bool:
    """Whether a teacher can be opened: it has hidden states at every position, and gradients."""
    return not isinstance(teacher, LabelScorer)


def network(teacher: Teacher) -> Classifier:
    """The teacher, where it must be a network; a recipe that needs one has been checked before."""
    assert not isinstance(teacher, LabelScorer)
    return teacher
