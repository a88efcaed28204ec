"""The contract of a teacher that only answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import CodrunError, HiddenStateScorer, LabelScorer
from cod_runner.testing.checks.identity import changed_options, check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import ODD_TEXTS, TEXTS

LABELS = "LabelScorer.labels: those of the data, in their order"
AT_ONCE = "LabelScorer.at_once: how many inputs one call of `score` takes best, at least 1"
FINGERPRINT = (
    "LabelScorer.fingerprint: a hash of all that decides an answer: model, prompt, shots, label words, precision"
)
SCORE = "LabelScorer.score: log-probabilities of the labels, `[inputs, classes]`, float32, on the CPU"
COMPANY = "LabelScorer.score: an input's answer does not depend on the others"
PROGRESS = "LabelScorer.score: `progress(done, total)` counts up to the inputs"
PRICE = "LabelScorer.price: USD, 0.0 where nothing is paid, None where it is not known"
STATES = (
    "HiddenStateScorer.states: the log-probabilities of `score`, and layer to `[inputs, width]`, float32, on the CPU"
)


def check_scorer(subject: Subject, scorer: LabelScorer) -> None:
    """Answers of the right form that depend on the text alone."""
    texts = [str(row.input) for row in TEXTS[:5]] + list(ODD_TEXTS)
    labels = tuple(subject.context.labels)
    subject.must(tuple(scorer.labels) == labels, f"has the labels {scorer.labels}, and the data {labels}", LABELS)
    at_once = scorer.at_once
    subject.must(isinstance(at_once, int) and at_once >= 1, f"has the `at_once` {at_once!r}", AT_ONCE)
    steps: list[tuple[int, int]] = []
    with subject.watched("in `score`"):
        said = scorer.score(texts, lambda done, total: steps.append((done, total)))
    _check_form(subject, said, len(texts))
    with subject.watched("in `score`"):
        nothing = scorer.score([])
        again, backwards = scorer.score(texts), scorer.score(list(reversed(texts)))
        alone = torch.cat([scorer.score([text]) for text in texts[:6]])
    subject.must(
        tuple(nothing.shape) == (0, len(labels)), f"gives the shape {list(nothing.shape)} for no inputs", SCORE
    )
    counted = all(0 <= done <= total == len(texts) for done, total in steps)
    subject.must(counted, f"counts {steps[-1:]} of {len(texts)} inputs", PROGRESS)
    subject.must(_close(said, again), "answers otherwise when it is asked again", COMPANY)
    subject.must(_close(said, backwards.flip(0)), "answers otherwise in another order", COMPANY)
    subject.must(_close(said[:6], alone), "answers otherwise about a text alone", COMPANY)
    _check_fingerprint(subject, scorer)
    _check_fingerprint_of_options(subject, scorer.fingerprint, said[:5], texts[:5])
    with subject.watched("in `price`"):
        price = scorer.price(texts[:3])
    fits = price is None or (isinstance(price, float | int) and math.isfinite(price) and price >= 0)
    subject.must(fits, f"says that three answers cost {price!r}", PRICE)
    _check_states(subject, scorer, texts)
    check_identity(subject, lambda options: subject.build(options).score(texts[:5]).tolist())


def _check_form(subject: Subject, said: Any, inputs: int) -> None:
    classes = len(subject.context.labels)
    subject.must(isinstance(said, Tensor), f"gives a {type(said).__name__}, no tensor", SCORE)
    subject.must(
        tuple(said.shape) == (inputs, classes), f"gives the shape {list(said.shape)} for {inputs} inputs", SCORE
    )
    subject.must(
        said.dtype == torch.float32 and said.device.type == "cpu", f"gives {said.dtype} on {said.device}", SCORE
    )
    subject.must(not bool(torch.isnan(said).any()), "gives log-probabilities that are not numbers", SCORE)
    subject.must(bool((said <= 1e-5).all()), "gives log-probabilities above 0", SCORE)
    subject.must(bool((said > -torch.inf).any(1).all()), "gives no label any probability", SCORE)


def _check_fingerprint(subject: Subject, scorer: LabelScorer) -> None:
    with subject.watched("in `fingerprint`"):
        first, again = scorer.fingerprint, subject.build().fingerprint
    subject.must(
        isinstance(first, str) and first == again, f"has the fingerprint {first!r}, then {again!r}", FINGERPRINT
    )
    answering = subject.options().answering()
    if answering is not None and answering.shots:
        other = subject.build(shots=[replace(shot, input=f"{shot.input} again") for shot in subject.context.shots])
        subject.must(other.fingerprint != first, "has the same fingerprint with other shots in its prompt", FINGERPRINT)


def _check_fingerprint_of_options(subject: Subject, fingerprint: str, said: Tensor, texts: list[str]) -> None:
    """Answers are stored by the fingerprint alone, so an option that changes them must change it."""
    base = subject.options()
    for name, changed in changed_options(subject, base):
        try:
            other = subject.build(changed)
            if other.fingerprint != fingerprint:
                continue
            others = other.score(texts)
        except (CodrunError, AssertionError):
            continue  # with this value it does something else altogether, or cannot run
        subject.must(
            _close(others, said),
            f"gives other answers with `{name}: {getattr(changed, name)}` than with `{name}: {getattr(base, name)}`, "
            "and the same fingerprint",
            FINGERPRINT,
        )


def _check_states(subject: Subject, scorer: LabelScorer, texts: list[str]) -> None:
    answering = subject.options().answering()
    if answering is None or not answering.hidden_states:
        return
    assert isinstance(scorer, HiddenStateScorer)  # what was built has every member
    layers = (0, scorer.shape.layers)
    with subject.watched("in `states`"):
        said, states = scorer.states(texts[:5], layers)
    subject.must(_close(said, scorer.score(texts[:5])), "gives other log-probabilities with states", STATES)
    for layer in layers:
        form = layer in states and tuple(states[layer].shape) == (5, scorer.shape.width)
        subject.must(form and states[layer].dtype == torch.float32, f"gives no proper states of layer {layer}", STATES)


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.exp(), other.exp(), rtol=1e-4, atol=1e-4)
