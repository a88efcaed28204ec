"""A teacher that only answers is asked about each text once, a chunk at a time, and its answers are checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cod_runner.api import CodrunError, HiddenStateScorer, Input, LabelScorer, Mixture, ModelShape
from cod_runner.engine.asking import LEAST, ONE_POSITION, each_answer, network, shape_of
from cod_runner.engine.signals import SignalStore
from cod_runner.errors import PluginError
from cod_runner.testing.classifiers import TextClassifier

TEXTS = ["a", "bbb", "cc", "dddd", "eeeee", "ff", "g"]


class Lengths:
    """Log-odds by length; notes every call."""

    labels, at_once, fingerprint = ("short", "long"), 3, "lengths"
    breaks_at = 10**9

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        if len(self.calls) >= self.breaks_at:
            raise KeyboardInterrupt
        self.calls.append([str(value) for value in inputs])
        for done in range(1, len(inputs) + 1):
            progress(done, len(inputs))
        return torch.log_softmax(torch.tensor([[0.0, float(len(str(value)))] for value in inputs]), 1)

    def price(self, inputs: Sequence[Input]) -> float | None:
        return 0.0


class WithStates(Lengths):
    shape = ModelShape(layers=2, width=3, classes=2)
    fingerprint = "with states"

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Callable[[int, int], None] = lambda d, t: None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        states = torch.stack(
            [torch.tensor([[len(str(v)), n, 1.0] for v in inputs], dtype=torch.float64) for n in range(3)]
        )
        return self.score(inputs, progress), {layer: states[layer] for layer in layers}


class Says(Lengths):
    """Says the same of everything, whatever it is."""

    fingerprint = "says"

    def __init__(self, said: Tensor) -> None:
        super().__init__()
        self.said = said

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        return self.said


def test_what_is_a_network_and_what_only_answers() -> None:
    opened = TextClassifier(texts=["a"], width=8, layers=1)
    assert network(opened) is opened and shape_of(opened) == opened.shape
    assert isinstance(Lengths(), LabelScorer) and not isinstance(Lengths(), HiddenStateScorer)
    assert shape_of(Lengths()) == ModelShape(0, 0, 2)
    assert isinstance(WithStates(), HiddenStateScorer) and shape_of(WithStates()) == WithStates.shape


def test_chunks_hold_texts_of_like_length_and_every_text_once() -> None:
    scorer, steps = Lengths(), []
    answers = [
        *itertools.chain(*each_answer(scorer, TEXTS, (), "cpu", lambda done, total: steps.append((done, total))))
    ]
    assert scorer.calls == [["a", "g", "cc"], ["ff", "bbb", "dddd"], ["eeeee"]]
    assert sorted(answer.position for answer in answers) == list(range(7))
    for answer in answers:
        length = len(TEXTS[answer.position])
        assert answer.row.logits[1] - answer.row.logits[0] == pytest.approx(length)
        assert (answer.ids, answer.row.tokens, answer.row.pooled_at) == (ONE_POSITION, 1, 0)
    assert steps == sorted(steps) and steps[0] == (1, 7) and steps[-1] == (7, 7)


def test_an_answer_is_the_same_alone_and_in_company(tmp_path: Path) -> None:
    texts = [("word " * number).strip() for number in range(1, 20)]
    together, alone = SignalStore(tmp_path / "together"), SignalStore(tmp_path / "alone")
    scorer = Lengths()
    scorer.at_once = 16
    together.add(scorer, texts, device="cpu")
    for text in reversed(texts):
        alone.add(scorer, [text], device="cpu")
    first, second = (store.reader("lengths").logits(texts) for store in (together, alone))
    assert torch.equal(first, second)


def test_a_break_loses_one_chunk_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    store, scorer = SignalStore(tmp_path), Lengths()
    scorer.breaks_at = 2
    with pytest.raises(KeyboardInterrupt):
        store.add(scorer, TEXTS, device="cpu")
    scorer.breaks_at = 10**9
    assert store.add(scorer, TEXTS, device="cpu") == 1, "two chunks of three are stored"
    assert sorted(itertools.chain(*scorer.calls)) == sorted(TEXTS)
    assert store.add(scorer, [*TEXTS, *TEXTS], device="cpu") == 0


def test_a_text_given_twice_is_asked_about_once(tmp_path: Path) -> None:
    scorer = Lengths()
    assert SignalStore(tmp_path).add(scorer, ["a", "bb", "a"], device="cpu") == 2
    assert scorer.calls == [["a", "bb"]]


@pytest.mark.parametrize("at_once", [0, -3])
def test_a_scorer_that_takes_none_at_once_is_asked_one_by_one(at_once: int) -> None:
    scorer = Lengths()
    scorer.at_once = at_once
    assert len(list(each_answer(scorer, TEXTS, (), "cpu"))) == 7


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (torch.zeros(2, 3), r"log-probabilities of the shape \[2, 3\] for 2 inputs and 2 labels"),
        (torch.zeros(3, 2), r"log-probabilities of the shape \[3, 2\] for 2 inputs and 2 labels"),
        (torch.zeros(2), r"log-probabilities of the shape \[2\] for 2 inputs and 2 labels"),
        (torch.tensor([[0.0, NAN], [0.0, 0.0]]), "a log-probability that is not a number"),
        (torch.tensor([[0.0, INF], [0.0, 0.0]]), "a log-probability that is not a number"),
        (torch.tensor([[0.0, 0.0], [-INF, -INF]]), "no label any probability"),
        ([[0.0, 0.0], [0.0, 0.0]], "a list, no tensor"),
    ],
)
def test_what_is_no_answer_is_said_to_be_a_bug_in_the_plugin(said: Tensor, what: str) -> None:
    with pytest.raises(PluginError, match=f"the teacher's plugin gave {what}.*: a bug in it"):
        list(each_answer(Says(said), ["a", "b"], (), "cpu"))


def test_a_probability_of_zero_is_a_very_small_one(tmp_path: Path) -> None:
    ((answer, *_),) = each_answer(Says(torch.tensor([[0.0, -INF]])), ["a"], (), "cpu")
    assert answer.row.logits.tolist() == [0.0, pytest.approx(math.log(LEAST))]
    # what KD makes of it: with minus infinity, 0 * infinity
    ours = torch.log_softmax(torch.zeros(1, 2), -1)
    theirs = torch.log_softmax(answer.row.logits[None], -1)
    assert torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="sum") == pytest.approx(math.log(2))


def test_answers_are_normalised_float32() -> None:
    ((answer, *_),) = each_answer(Says(torch.tensor([[3.0, 3.0 + math.log(3)]], dtype=torch.float64)), ["a"], (), "cpu")
    assert answer.row.logits.dtype == torch.float32
    assert answer.row.logits.exp().tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("value", [(0.5, 1.0), Mixture("a", "b", 0.5)], ids=["vector", "mixture"])
def test_only_texts_can_be_asked_about(value: Input) -> None:
    scorer = Lengths()
    with pytest.raises(CodrunError, match=r"only answers.*texts.*take a teacher that is a network"):
        list(each_answer(scorer, ["a", value], (), "cpu"))
    assert scorer.calls == [], "before anything is paid for"


def test_states_are_stored_and_layers_added_later(tmp_path: Path) -> None:
    store, scorer = SignalStore(tmp_path), WithStates()
    store.add(scorer, TEXTS, device="cpu")
    before = store.reader("with states").logits(TEXTS)
    store.add(scorer, TEXTS, (0, 2), device="cpu")
    store.add(scorer, TEXTS, (1,), device="cpu")
    reader = store.reader("with states")
    for text, row in zip(TEXTS, reader.rows(TEXTS, (0, 1, 2)), strict=True):
        assert {layer: states.tolist() for layer, states in row.hidden.items()} == {
            layer: [[len(text), layer, 1.0]] for layer in range(3)
        }
        assert (row.tokens, row.pooled_at) == (1, 0)
    assert torch.equal(reader.logits(TEXTS), before), "equal with and without states"
    assert store.add(scorer, TEXTS, (0, 1, 2), device="cpu") == 0


@pytest.mark.parametrize(
    ("states", "what"),
    [
        ({1: torch.zeros(2, 4)}, r"states of layer 1 of the shape \[2, 4\] for 2 inputs and a width of 3"),
        ({1: torch.zeros(2, 1, 3)}, r"states of layer 1 of the shape \[2, 1, 3\] for 2 inputs and a width of 3"),
        ({1: torch.full((2, 3), NAN)}, "states of layer 1 that are not numbers"),
        ({0: torch.zeros(2, 3)}, "no states of layer 1"),
    ],
)
def test_what_are_no_states_is_said_to_be_a_bug_in_the_plugin(states: dict[int, Tensor], what: str) -> None:
    class Wrong(WithStates):
        def states(self, inputs: Sequence[Input], *_: object) -> tuple[Tensor, dict[int, Tensor]]:
            return self.score(inputs), states

    with pytest.raises(PluginError, match=f"the teacher's plugin gave {what}.*: a bug in it"):
        list(each_answer(Wrong(), ["a", "b"], (1,), "cpu"))
