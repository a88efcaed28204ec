"""The contract of a student: a classifier, how it trains, and what it may offer beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cod_runner.api import (
    Batch,
    Classifier,
    GradientCheckpointing,
    LabelScorer,
    Outputs,
    TrainSettings,
    TrainsItself,
    VocabularyCut,
    WordVectors,
)
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.own_training import let_train
from cod_runner.engine.training import train_student
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.network import check_from_teacher, check_network, outputs_of
from cod_runner.testing.checks.scorer import check_scorer
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import POINTS, TEXTS

TRAINS = "Classifier: it learns; the same rows and seed give the same bits on one thread of a CPU"
CUT = "Classifier.compact: the vocabulary cut is exact, so that training with it gives the weights of training without"
CUT_FORM = "Classifier.compact: a `VocabularyCut`, or None where it does not apply"
CHECKPOINTING = "GradientCheckpointing: backward passes that recompute blocks give the same gradients"
VECTORS = "WordVectors.word_vectors: the unit-length embedding of each word; () for a word it has none for"
OWN = "Options.trains_itself: whether what is built is a `TrainsItself`"
TIP = "Options.tip: what an option would gain that the recipe leaves out, or an empty text"
ANSWERING = "Options.answering: None for a Classifier, what is known of it for a LabelScorer"


@check_of("student")
def check_student(subject: Subject) -> None:
    """A network that reads, answers, saves and opens as the contract has it, and trains bit for bit by its seed."""
    asked: list[bool] = []
    given = subject.context.teacher

    def teacher() -> Classifier:
        asked.append(True)
        assert given is not None
        return given()

    subject.context = replace(subject.context, teacher=teacher)
    model: Classifier = subject.build()
    options = subject.options()
    check_from_teacher(subject, options, asked)
    tip = options.tip(None)
    subject.must(isinstance(tip, str), f"has the tip {tip!r:.80}", TIP)
    texts = check_network(subject, model)
    _check_own_training(subject, model, texts)
    if not isinstance(model, TrainsItself):
        _check_training(subject, texts)
    _check_abilities(subject, texts)


@check_of("teacher")
def check_teacher(subject: Subject) -> None:
    """A network, or a model that only answers, as its options say."""
    options = subject.options()
    answering = options.answering()
    if answering is not None:
        subject.context = replace(subject.context, shots=subject.context.shots or TEXTS[: answering.shots])
    model = subject.build()
    only_answers = isinstance(model, LabelScorer)
    subject.must(
        only_answers == (answering is not None),
        f"answers `answering` with {answering}, and builds a {'label scorer' if only_answers else 'network'}",
        ANSWERING,
    )
    if isinstance(model, LabelScorer):
        check_scorer(subject, model)
        return
    texts = check_network(subject, model)
    _check_training(subject, texts)
    _check_abilities(subject, texts)


class _HardLabels(nn.Module):
    """Cross-entropy."""

    needs_labels = True

    def bind(self, binding: Any) -> None:
        """Nothing to create."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(student.logits, batch.labels, reduction="none")


def _trained(subject: Subject, texts: bool, *, compact: bool) -> Classifier:
    model: Classifier = subject.build()
    rows = (TEXTS if texts else POINTS)[:6]
    settings = TrainSettings(
        steps=3, batch_size=4, lr=1e-3, weight_decay=0.1, precision="fp32", compact_vocabulary=compact
    )
    with subject.watched("while it was trained as the engine trains it"):
        terms = [WeightedTerm("hard", _HardLabels(), 1.0)]
        train_student(model, rows, terms, None, settings, seed=0, device="cpu")
    return model


def _check_training(subject: Subject, texts: bool) -> None:
    model: Classifier = subject.build()
    cut = model.compact(model.encode([row.input for row in (TEXTS if texts else POINTS)[:2]]))
    subject.must(cut is None or isinstance(cut, VocabularyCut), f"gives a {type(cut).__name__} as its cut", CUT_FORM)
    first, again, whole = (_trained(subject, texts, compact=compact) for compact in (True, True, False))
    start = dict(subject.build().named_parameters())
    moved = any(not torch.equal(parameter, start[name]) for name, parameter in first.named_parameters())
    subject.must(moved, "has the same weights after three steps of training", TRAINS)
    subject.must(_equal(first, again), "has other weights when the same training is done again", TRAINS)
    subject.must(_equal(first, whole), "has other weights after a training with its vocabulary cut than without", CUT)


def _equal(one: Classifier, other: Classifier) -> bool:
    others = dict(other.named_parameters())
    return all(torch.equal(parameter, others[name]) for name, parameter in one.named_parameters())


def _check_own_training(subject: Subject, model: Classifier, texts: bool) -> None:
    says = subject.options().trains_itself()
    trains = isinstance(model, TrainsItself)
    subject.must(
        says == trains,
        f"answers `trains_itself` with {says}, and builds one that {'does' if trains else 'does not'}",
        OWN,
    )
    if not trains:
        return
    rows, answers = (TEXTS if texts else POINTS)[:6], []
    for _ in range(2):
        one = subject.build()
        with subject.watched("in `fit`"):
            result = let_train(one, rows, seed=0, device="cpu")
        subject.must(result.steps >= 0, f"took {result.steps} steps", TRAINS)
        answers.append(outputs_of(one, [row.input for row in rows]).logits)
    subject.must(torch.equal(*answers), "answers otherwise when it has trained itself again with the same seed", TRAINS)


def _check_abilities(subject: Subject, texts: bool) -> None:
    """What it offers beside the contract must do what it says."""
    rows = (TEXTS if texts else POINTS)[:4]
    model: Classifier = subject.build()
    if isinstance(model, GradientCheckpointing):
        plain = _gradients(model, rows)
        with subject.watched("in `gradient_checkpointing_enable`"):
            model.gradient_checkpointing_enable()
        close = all(
            torch.allclose(one, other, rtol=1e-3, atol=1e-5)
            for one, other in zip(plain, _gradients(model, rows), strict=True)
        )
        subject.must(close, "has other gradients when blocks are recomputed", CHECKPOINTING)
    if isinstance(model, WordVectors):
        with subject.watched("in `word_vectors`"):
            found = model.word_vectors(["film", "good", "", "Ω≈ç"])
        unit = all(not one or abs(sum(each * each for each in one) - 1) < 1e-3 for one in found)
        subject.must(len(found) == 4 and unit, "gives word vectors that are not of unit length, or too few", VECTORS)


def _gradients(model: Classifier, rows: Any) -> list[Tensor]:
    model.train()
    for parameter in model.parameters():
        parameter.grad = None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outputs = model(model.collate(model.encode([row.input for row in rows])))
        nn.functional.cross_entropy(outputs.logits, torch.tensor([row.label for row in rows])).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
