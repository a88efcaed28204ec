"""Checks that any loss must pass; an author calls :func:`check_loss` from a test.

def test_my_loss_keeps_the_contract():
    options = MyOptions()
    check_loss(MyLoss(options, BuildContext()), options)
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Example, Loss, Options, Outputs
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.losses import TrainingData, WeightedTerm, bind_losses
from cod_runner.engine.signals import SignalStore
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
    with tempfile.TemporaryDirectory() as folder:
        store = SignalStore(Path(folder))
        store.add(teacher, texts, needs.teacher, device="cpu")
        data = TrainingData(student, batches, store.reader(teacher.fingerprint), needs.teacher, "fp32")
        data.aligned = getattr(loss, "aligned", False)
        bind_losses(
            [WeightedTerm("checked", loss, 1.0, lambda theirs, ours: needs)],
            ["checked"],
            data,
            seed=seed,
            cache_folder=None,
        )
        rows = range(len(examples))
        batch = batches.batch(rows)
        student.eval()
        with torch.no_grad():
            ours = data.student_outputs(batch, needs.student)
        theirs = data.matched(data.signals(rows, needs.teacher), ours)
        # Copied: the folder that the states are mapped from goes away.
        return LossCase(loss, ours, _changed(theirs, torch.clone), batch)


def check_loss(
    loss: Loss, options: Options | None = None, *, labels: Sequence[str] = ("negative", "positive"), seed: int = 0
) -> None:
    """Raise ``AssertionError``, saying what is wrong, unless the loss keeps the contract.

    ``options`` are the loss's own, which say what hidden states it reads; a loss on logits needs none.

    One finite float32 value per example; padding and the rest of the batch (a partner apart) change nothing; the
    gradient agrees with finite differences in float64; every parameter of its own gets a gradient; the outputs that
    it is given stay as they are.
    """
    case = loss_case(loss, options, labels=labels, seed=seed)
    before = copy.deepcopy((case.student, case.teacher))
    values = case.values()
    assert values.shape == (len(case.batch.ids),), f"one value per example is wanted, not the shape {values.shape}"
    assert values.dtype == torch.float32, f"values are {values.dtype}, not float32"
    assert torch.isfinite(values).all(), f"values are not finite: {values.tolist()}"
    for given, kept in zip((case.student, case.teacher), before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(_tensors(given), _tensors(kept), strict=True)), (
            "the loss changed the outputs that it was given"
        )
    _check_padding(case, values)
    _check_company(case, values)
    _check_gradient(case)


def _check_padding(case: LossCase, values: Tensor) -> None:
    """Garbage behind the last token must not count."""
    longer = LossCase(case.loss, _longer(case.student), _longer(case.teacher), case.batch)
    torch.testing.assert_close(longer.values(), values, rtol=1e-5, atol=1e-6, msg=lambda m: f"padding counts: {m}")


def _check_company(case: LossCase, values: Tensor) -> None:
    """An example, with its partner if it has one, alone."""
    for row, partner in enumerate(case.batch.partner.tolist()):
        rows = [row] if partner < 0 else [row, partner]
        alone = LossCase(case.loss, _rows(case.student, rows), _rows(case.teacher, rows), _batch_rows(case.batch, rows))
        torch.testing.assert_close(
            alone.values()[0], values[row], rtol=1e-5, atol=1e-6, msg=lambda m: f"the rest of the batch counts: {m}"
        )


def _check_gradient(case: LossCase) -> None:
    """Against finite differences, in float64."""
    loss = copy.deepcopy(cast(nn.Module, case.loss)).double()
    own = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    teacher = _changed(case.teacher, Tensor.double)
    layers = list(case.student.hidden)
    start = [case.student.logits, *(case.student.hidden[layer] for layer in layers)]
    inputs = [value.detach().double().requires_grad_() for value in start]

    def value(logits: Tensor, *rest: Tensor) -> Any:
        hidden = dict(zip(layers, rest, strict=False))
        return loss(replace(case.student, logits=logits, hidden=hidden), teacher, case.batch).sum()

    value(*inputs).backward()
    for name, parameter in loss.named_parameters():
        if parameter.requires_grad:
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert reached, f"the loss's parameter `{name}` gets no gradient, so it would never train"
    if case.student.mask is not None:
        for layer, given in zip(layers, inputs[1:], strict=True):
            on_padding = 0 if given.grad is None else float(given.grad[~case.student.mask].abs().sum())
            assert on_padding == 0, f"padding positions of layer {layer} get a gradient"
    reached_inputs = [given for given in inputs if given.grad is not None]
    assert reached_inputs, "the loss does not depend on the student"
    torch.autograd.gradcheck(lambda *given: value(*given[: len(inputs)]), (*inputs, *own))


def _longer(outputs: Outputs, by: int = 3) -> Outputs:
    if outputs.mask is None:
        return outputs
    more = outputs.mask.new_zeros(len(outputs.mask), by)
    hidden = {
        layer: torch.cat([states, states.new_full((len(states), by, states.shape[-1]), 1e3)], 1)
        for layer, states in outputs.hidden.items()
    }
    return replace(outputs, hidden=hidden, mask=torch.cat([outputs.mask, more], 1))


def _rows(outputs: Outputs, rows: Sequence[int]) -> Outputs:
    return _changed(outputs, lambda value: value[list(rows)])


def _batch_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    partner = [rows.index(place) if place in rows else -1 for place in batch.partner[list(rows)].tolist()]
    return Batch(
        tuple(batch.ids[row] for row in rows),
        batch.labels[list(rows)],
        torch.tensor(partner),
        batch.is_counterfactual[list(rows)],
        {name: value[list(rows)] for name, value in batch.inputs.items()},
    )


def _changed(outputs: Outputs, change: Any) -> Outputs:
    """``change`` applied to every tensor; ``double`` leaves masks and positions alone."""
    number = (lambda value: value) if change is Tensor.double else change
    return Outputs(
        change(outputs.logits),
        {layer: change(states) for layer, states in outputs.hidden.items()},
        None if outputs.mask is None else number(outputs.mask),
        None if outputs.pooled_at is None else number(outputs.pooled_at),
    )


def _tensors(outputs: Outputs) -> list[Tensor]:
    return [outputs.logits, *outputs.hidden.values()]
