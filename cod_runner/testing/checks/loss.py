"""The contract of a loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from cod_runner.api import CodrunError, Example, Loss, Options, Outputs
from cod_runner.engine.losses import WeightedTerm, summed
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.testing.losses import PAIRED, LossCase, batch_rows, changed, longer, loss_case, some_rows, tensors

VALUE = "Loss.forward: value per example, `[batch]`, float32"
PURE = "Loss.forward: the outputs that it is given stay as they are"
PADDING = "Loss.forward: what stands behind the last real token counts for nothing, and gets no gradient"
COMPANY = "Loss.forward: an example's value depends on it and its partner alone, whatever else is in the batch"
SAME = "Loss.bind: randomness comes from the loss's own stream, so the same seed gives the same values"
DEPENDS = "Loss.forward: the value depends on the student's outputs"
GRADIENT = "Loss: the gradient is that of the value, as finite differences in float64 show"
TRAINS = "Loss: its own parameters train with the student"
NO_GRADIENT = "Loss: a term of weight 0 is computed without gradient, for the log alone"
LABELS = "Loss: `needs_labels = True` says that it reads `batch.labels`; others are given rows without a label too"
ALIGNED = "Loss: `aligned = True` says that it compares positions; others are given unequal token ids"
RATE = "Loss.learning_rate: of its own parameters, a number above 0 or None"
NEEDS = "Options.needs: the layers of both whose hidden states the loss reads"
TEACHER = "Options.uses_teacher: whether the teacher's word enters the loss"
LABELS_ALONE = "Options.reads_labels_alone: whether the loss is a function of logits and hard labels"

TEACHER_SEED = 23
"""Of weights by which a random teacher reads texts of every class, of two and of three."""


@check_of("loss")
def check_loss(subject: Subject) -> None:
    """One finite float32 value per example, which depends on nothing but that example and its partner; true gradients;
    what its options and its class say of it."""
    options = subject.options()
    loss, case, values = _bound(subject, options)
    _check_needs(subject, case)
    _check_purity(subject, case, values)
    _check_company(subject, case, values)
    _check_gradient(subject, case)
    _check_claims(subject, loss, options)
    _check_odd_batches(subject, options)
    check_identity(subject, lambda changed: _bound(subject, changed)[2].tolist())


def _bound(subject: Subject, options: Options, **case: Any) -> tuple[Loss, LossCase, Tensor]:
    loss: Loss = subject.build(options)
    with subject.watched("while it was bound", refusals=True):
        made = _case(subject, loss, options, **case)
    return loss, made, _values(subject, made)


def _case(subject: Subject, loss: Loss, options: Options, *, labels: Sequence[str] = (), **case: Any) -> LossCase:
    """Between a teacher of four layers and a student of two, whose widths many numbers divide."""
    labels = labels or subject.context.labels
    texts = [str(row.input) for row in PAIRED]
    case.setdefault("teacher", TextClassifier(labels, texts=texts, width=16, layers=4, seed=TEACHER_SEED))
    case.setdefault("student", TextClassifier(labels, texts=texts, width=8, layers=2, seed=2))
    return loss_case(loss, options, labels=labels, **case)


def _values(subject: Subject, case: LossCase) -> Tensor:
    """What it gives for a case, which must have the right form."""
    ours, theirs = case.student, case.teacher
    named = replace(
        case,
        student=replace(ours, hidden=_Layers(ours.hidden, "student", subject)),
        teacher=replace(theirs, hidden=_Layers(theirs.hidden, "teacher", subject)),
    )
    with subject.watched("in `forward`", untouched=()), torch.random.fork_rng():
        torch.manual_seed(0)
        values = named.values()
    wanted = (len(case.batch.ids),)
    subject.must(isinstance(values, Tensor), f"gave {type(values).__name__} {values!r:.60}, no tensor", VALUE)
    subject.must(
        tuple(values.shape) == wanted,
        f"gave the shape {list(values.shape)} for {wanted[0]} examples, not one value per example",
        VALUE,
    )
    subject.must(values.dtype == torch.float32, f"gave values in {values.dtype}".replace("torch.", ""), VALUE)
    subject.must(bool(torch.isfinite(values).all()), f"gave values that are not finite: {values.tolist()}", VALUE)
    return values.detach()


class _Layers(dict[int, Tensor]):
    """Hidden states that say which one is read and not there."""

    def __init__(self, states: Mapping[int, Tensor], side: str, subject: Subject) -> None:
        super().__init__(states)
        self._side, self._subject = side, subject

    def __missing__(self, layer: int) -> Tensor:
        self._subject.fail(f"reads layer {layer} of the {self._side}, which its options do not name", NEEDS)


def _check_needs(subject: Subject, case: LossCase) -> None:
    """What is read is named, and what is named is read."""
    values = _values(subject, case)
    for side, outputs in (("teacher", case.teacher), ("student", case.student)):
        for layer, states in outputs.hidden.items():
            other = replace(outputs, hidden={**outputs.hidden, layer: _moved(states)})
            moved = replace(case, teacher=other) if side == "teacher" else replace(case, student=other)
            read = not torch.equal(_values(subject, moved), values) or _read_in_bind(subject, side, layer, values)
            subject.must(read, f"names layer {layer} of the {side}, and no value depends on it", NEEDS)


def _moved(states: Tensor) -> Tensor:
    return states + torch.randn(states.shape, generator=torch.Generator().manual_seed(0))


class _OneLayerMoved(TextClassifier):
    """Other hidden states of one layer, and the same logits."""

    moved: int

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        outputs = super().forward(batch, hidden)
        if self.moved in outputs.hidden:
            outputs.hidden[self.moved] = _moved(outputs.hidden[self.moved])
        return outputs


def _read_in_bind(subject: Subject, side: str, layer: int, values: Tensor) -> bool:
    """Whether what is bound to another layer's states has other values."""
    width, layers, seed = (16, 4, TEACHER_SEED) if side == "teacher" else (8, 2, 2)
    texts = [str(row.input) for row in PAIRED]
    model = _OneLayerMoved(subject.context.labels, texts=texts, width=width, layers=layers, seed=seed)
    model.moved = layer
    return not torch.equal(_bound(subject, subject.options(), **{side: model})[2], values)


def _check_purity(subject: Subject, case: LossCase, values: Tensor) -> None:
    before = copy.deepcopy((case.student, case.teacher, case.batch.labels))
    again = _values(subject, case)
    for given, kept in zip((case.student, case.teacher), before[:2], strict=True):
        same = all(torch.equal(one, other) for one, other in zip(tensors(given), tensors(kept), strict=True))
        subject.must(same, "changed the outputs that it was given", PURE)
    subject.must(torch.equal(case.batch.labels, before[2]), "changed the labels of the batch", PURE)
    subject.must(torch.equal(again, values), "gave other values when it was asked again", SAME)
    with torch.no_grad():
        quiet = _values(subject, case)
    subject.must(torch.equal(quiet, values), "gives other values without gradients", NO_GRADIENT)
    bound_again = _bound(subject, subject.options())[2]
    subject.must(torch.equal(bound_again, values), "gave other values when it was bound again with the same seed", SAME)


def _check_company(subject: Subject, case: LossCase, values: Tensor) -> None:
    """Garbage behind the last token, and the rest of the batch, must not count."""
    more = replace(case, student=longer(case.student), teacher=longer(case.teacher))
    padded = _values(subject, more)
    subject.must(_close(padded, values), f"counts padding: {padded.tolist()} in place of {values.tolist()}", PADDING)
    for row, partner in enumerate(case.batch.partner.tolist()):
        rows = [row] if partner < 0 else [row, partner]
        alone = _values(subject, _part(case, rows))[0]
        subject.must(
            _close(alone, values[row]),
            f"counts the rest of the batch: {float(alone):.6g} alone, {float(values[row]):.6g} among others",
            COMPANY,
        )


def _check_gradient(subject: Subject, case: LossCase) -> None:
    """Against finite differences, in float64."""
    loss = copy.deepcopy(cast(nn.Module, case.loss)).double()
    own = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    teacher = changed(case.teacher, Tensor.double)
    layers = list(case.student.hidden)
    start = [case.student.logits, *(case.student.hidden[layer] for layer in layers)]
    inputs = [value.detach().double().requires_grad_() for value in start]

    def value(logits: Tensor, *rest: Tensor) -> Any:
        hidden = dict(zip(layers, rest, strict=False))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return loss(replace(case.student, logits=logits, hidden=hidden), teacher, case.batch).sum()

    with subject.watched("in float64", untouched=()):
        total = value(*inputs)
        subject.must(
            isinstance(total, Tensor) and total.requires_grad, "gives values that do not depend on the student", DEPENDS
        )
        total.backward()
    for name, parameter in loss.named_parameters():
        if parameter.requires_grad:
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            subject.must(reached, f"has the parameter `{name}`, which gets no gradient", TRAINS)
    reached_inputs = [given for given in inputs if given.grad is not None and bool(given.grad.abs().sum() > 0)]
    subject.must(bool(reached_inputs), "gives values that do not depend on the student", DEPENDS)
    if case.student.mask is not None:
        for layer, given in zip(layers, inputs[1:], strict=True):
            on_padding = 0 if given.grad is None else float(given.grad[~case.student.mask].abs().sum())
            subject.must(on_padding == 0, f"gives padding positions of layer {layer} a gradient", PADDING)
    try:
        with torch.random.fork_rng():  # the fast mode looks along random directions
            torch.manual_seed(0)
            torch.autograd.gradcheck(lambda *given: value(*given[: len(inputs)]), (*inputs, *own), fast_mode=True)
    except RuntimeError as error:
        subject.fail(f"has a gradient that is not that of its value ({str(error).splitlines()[0]})", GRADIENT)
    subject.must(True, "", GRADIENT)


def _check_claims(subject: Subject, loss: Loss, options: Options) -> None:
    """What its options and its class say, against what moves its values."""
    rate = getattr(loss, "learning_rate", None)
    subject.must(rate is None or (isinstance(rate, float | int) and rate > 0), f"has the learning rate {rate!r}", RATE)
    _, case, values = _bound(subject, options)
    flipped = replace(case, batch=replace(case.batch, labels=1 - case.batch.labels))
    reads_labels, says = not torch.equal(_values(subject, flipped), values), bool(getattr(loss, "needs_labels", False))
    subject.must(
        reads_labels == says,
        f"says `needs_labels = {says}`, and its values {'' if reads_labels else 'do not '}depend on labels",
        LABELS,
    )
    generator = torch.Generator().manual_seed(1)
    others = changed(
        case.teacher,
        lambda one: one + torch.randn(one.shape, generator=generator) if one.is_floating_point() else one,
    )
    texts = [str(row.input) for row in PAIRED]
    stranger = TextClassifier(subject.context.labels, texts=texts, width=16, layers=4, seed=5)
    reads_teacher = not torch.equal(_values(subject, replace(case, teacher=others)), values) or not torch.equal(
        _bound(subject, options, teacher=stranger)[2], values
    )
    subject.must(
        reads_teacher == options.uses_teacher(),
        f"answers `uses_teacher` with {options.uses_teacher()}, and its values "
        f"{'' if reads_teacher else 'do not '}depend on the teacher",
        TEACHER,
    )
    if options.reads_labels_alone():
        no_pairs = replace(case, batch=replace(case.batch, partner=torch.full_like(case.batch.partner, -1)))
        alone = not reads_teacher and not case.student.hidden and torch.equal(_values(subject, no_pairs), values)
        subject.must(
            alone, "says that it reads labels alone, and reads the teacher, hidden states or partners", LABELS_ALONE
        )


def _check_odd_batches(subject: Subject, options: Options) -> None:
    """One row, no pairs, rows without a label, three classes, unequal token ids."""
    loss, case, _ = _bound(subject, options)
    for row in range(len(PAIRED)):
        _values(subject, _part(case, [row]))
    some = [replace(row, label=None) if number > 2 else row for number, row in enumerate(PAIRED)]
    _summed(subject, *_unlabelled(subject, options, some))
    texts = [str(row.input) for row in PAIRED]
    if not getattr(loss, "aligned", False):
        short = TextClassifier(subject.context.labels, texts=texts, width=16, layers=4, max_length=3, seed=TEACHER_SEED)
        try:
            _bound(subject, options, teacher=short)
        except (AssertionError, CodrunError) as error:
            subject.fail(f"cannot do with a teacher whose token ids are others ({error})", ALIGNED)
        subject.must(True, "", ALIGNED)
    if len(subject.context.labels) == 2:
        try:
            _bound(subject, options, labels=("bad", "middling", "good"))
        except CodrunError:  # it may be for two classes alone, and say so
            return


def _unlabelled(subject: Subject, options: Options, rows: Sequence[Example]) -> tuple[Loss, LossCase]:
    loss: Loss = subject.build(options)
    with subject.watched("while it was bound to rows of which some have no label"):
        return loss, _case(subject, loss, options, examples=rows)


def _summed(subject: Subject, loss: Loss, case: LossCase) -> None:
    """As the engine has it: a loss that needs labels is given the rows that have one."""
    term = WeightedTerm(subject.component.name, loss, 1.0)
    try:
        with subject.watched("in a batch in which some rows have no label", refusals=True, untouched=()):
            total = summed(term, case.student, case.teacher, case.batch)
    except CodrunError as error:
        subject.fail(f"cannot do with rows that have no label ({error})", LABELS)
    subject.must(bool(torch.isfinite(total)), "is not finite where some rows have no label", LABELS)


def _part(case: LossCase, rows: Sequence[int]) -> LossCase:
    return LossCase(
        case.loss, some_rows(case.student, rows), some_rows(case.teacher, rows), batch_rows(case.batch, rows)
    )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-6)
