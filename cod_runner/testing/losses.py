"""A loss bound as the engine binds it, to tiny models, with a batch to try it on and that batch in other forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from cod_runner.api import Batch, Example, Input, Loss, Options, Outputs
from cod_runner.engine.asking import each_answer
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.losses import TrainingData, WeightedTerm, bind_losses
from cod_runner.engine.outputs import Row
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.testing.classifiers import TextClassifier

PAIRED = (
    Example("0", "a fine film that never loses its way", 1, partner="0~cf"),
    Example("0~cf", "a dull film that never finds its way", 0, partner="0", is_counterfactual=True),
    Example("1", "so very bad", 0, partner="1~cf"),
    Example("1~cf", "so very good", 1, partner="1", is_counterfactual=True),
    Example("2", "the story drags", 0),
)
"""Two pairs and a single, of unequal lengths."""


@dataclass
class LossCase:
    """A bound loss with one batch to try it on."""

    loss: Loss
    student: Outputs
    teacher: Outputs
    batch: Batch

    def values(self) -> Tensor:
        """``[batch]``."""
        return self.loss(self.student, self.teacher, self.batch)


def loss_case(
    loss: Loss,
    options: Options | None = None,
    *,
    examples: Sequence[Example] = PAIRED,
    labels: Sequence[str] = ("negative", "positive"),
    student: TextClassifier | None = None,
    teacher: TextClassifier | None = None,
    seed: int = 0,
) -> LossCase:
    """Bind ``loss`` as the engine does, to a tiny teacher and student that share a tokenizer (or to those given)."""
    texts = [str(example.input) for example in examples]
    teacher = teacher or TextClassifier(labels, texts=texts, width=12, layers=4, seed=1)
    student = student or TextClassifier(labels, texts=texts, width=8, layers=2, seed=2)
    batches = TrainingBatches(student, examples, 2 * len(examples), "cpu")
    needs = (options or Options()).needs(teacher.shape, student.shape)
    signals = cast(TeacherSignals, _SignalsAtHand(teacher))
    data = TrainingData(student, batches, signals, needs.teacher, "fp32")
    data.aligned = getattr(loss, "aligned", False)
    term = WeightedTerm("checked", loss, 1.0, lambda theirs, ours: needs)
    bind_losses([term], ["checked"], data, seed=seed, cache_folder=None)
    rows = range(len(examples))
    batch = batches.batch(rows)
    student.eval()
    with torch.no_grad():
        ours = data.student_outputs(batch, needs.student)
    theirs = data.matched(data.signals(rows, needs.teacher), ours)
    return LossCase(loss, ours, theirs, batch)


class _SignalsAtHand:
    """What a teacher says, as :class:`TeacherSignals` gives it, without a store."""

    def __init__(self, teacher: TextClassifier) -> None:
        self._teacher, self.shape = teacher, teacher.shape

    def rows(self, inputs: Sequence[Input], layers: Sequence[int]) -> list[Row]:
        """One for each input."""
        answers = (answer for some in each_answer(self._teacher, inputs, layers, "cpu") for answer in some)
        return [answer.row for answer in sorted(answers, key=lambda answer: answer.position)]


def longer(outputs: Outputs, by: int = 3) -> Outputs:
    """With more padding, in which stands garbage."""
    if outputs.mask is None:
        return outputs
    more = outputs.mask.new_zeros(len(outputs.mask), by)
    hidden = {
        layer: torch.cat([states, states.new_full((len(states), by, states.shape[-1]), 1e3)], 1)
        for layer, states in outputs.hidden.items()
    }
    return replace(outputs, hidden=hidden, mask=torch.cat([outputs.mask, more], 1))


def some_rows(outputs: Outputs, rows: Sequence[int]) -> Outputs:
    """These rows alone."""
    return changed(outputs, lambda value: value[list(rows)])


def batch_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """These rows alone, a partner that is not among them left out."""
    partner = [rows.index(place) if place in rows else -1 for place in batch.partner[list(rows)].tolist()]
    return Batch(
        tuple(batch.ids[row] for row in rows),
        batch.labels[list(rows)],
        torch.tensor(partner),
        batch.is_counterfactual[list(rows)],
        {name: value[list(rows)] for name, value in batch.inputs.items()},
    )


def changed(outputs: Outputs, change: Any) -> Outputs:
    """``change`` applied to every tensor; ``double`` leaves masks and positions alone."""
    number = (lambda value: value) if change is Tensor.double else change
    return Outputs(
        change(outputs.logits),
        {layer: change(states) for layer, states in outputs.hidden.items()},
        None if outputs.mask is None else number(outputs.mask),
        None if outputs.pooled_at is None else number(outputs.pooled_at),
    )


def tensors(outputs: Outputs) -> list[Tensor]:
    """Its numbers: logits and hidden states."""
    return [outputs.logits, *outputs.hidden.values()]
