"""Which words weigh most with a teacher that only answers, against values by hand; and what the view asks of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cod_runner.api import CodrunError, Input, Request
from cod_runner.counterfactuals.search import Hunt, RecordingView
from cod_runner.engine.leave_one_out import left_out, texts_less_a_word
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher

WEIGHTS = {"great": 2.0, "dull": -1.0, "not": -3.0}


class Weighing:
    labels, at_once, fingerprint = ("bad", "good"), 4, "weighing"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        self.asked += map(str, inputs)
        margins = [sum(WEIGHTS.get(word, 0.0) for word in str(value).split()) for value in inputs]
        return torch.log_softmax(torch.tensor([[0.0, margin] for margin in margins]), 1)

    def price(self, inputs: Sequence[Input]) -> float | None:
        return 0.0


@pytest.mark.parametrize(
    ("text", "less"),
    [
        ("a great film", ["great film", "a film", "a great"]),
        (
            "it isn't good, really.",
            ["isn't good, really.", "it good, really.", "it isn't , really.", "it isn't good, ."],
        ),
        ("great", []),
        ("great!", []),
        ("...", []),
        ("", []),
        ("so so", ["so", "so"]),
        ("two\n\n lines", ["lines", "two"]),
    ],
)
def test_a_text_less_each_of_its_words(text: str, less: list[str]) -> None:
    found = texts_less_a_word(text)
    assert [each for _, _, each in found] == less
    for start, end, _ in found:
        assert text[start:end].strip() == text[start:end] != ""


def test_a_words_score_is_the_margin_that_is_lost_without_it() -> None:
    def score(inputs: Sequence[Input]) -> list[tuple[float, ...]]:
        sums = [sum(WEIGHTS.get(word, 0.0) for word in str(value).split()) for value in inputs]
        return [(1 / (1 + math.exp(total)), 1 / (1 + math.exp(-total))) for total in sums]

    towards_good, towards_bad = left_out(score, ["great but dull", "great but dull"], [1, 0])
    assert [(part.start, part.end) for part in towards_good] == [(0, 5), (6, 9), (10, 14)]
    assert [part.score for part in towards_good] == pytest.approx([2.0, 0.0, -1.0])
    assert [part.score for part in towards_bad] == pytest.approx([-2.0, 0.0, 1.0])


def test_of_three_classes_the_best_other_counts() -> None:
    said = {"a b": (0.5, 0.3, 0.2), "b": (0.2, 0.3, 0.5), "a": (0.6, 0.1, 0.3)}
    ((first, second),) = left_out(lambda inputs: [said[str(value)] for value in inputs], ["a b"], [0])
    assert first.score == pytest.approx(math.log(0.5 / 0.3) - math.log(0.2 / 0.5))
    assert second.score == pytest.approx(math.log(0.5 / 0.3) - math.log(0.6 / 0.3))


def test_a_probability_of_zero_has_a_score() -> None:
    said = {"a b": (0.0, 1.0), "b": (1.0, 0.0), "a": (0.5, 0.5)}
    ((first, _),) = left_out(lambda inputs: [said[str(value)] for value in inputs], ["a b"], [0])
    assert math.isfinite(first.score) and first.score < -50


def view_of(folder: Path) -> tuple[Weighing, CachedTeacher]:
    scorer = Weighing()
    return scorer, CachedTeacher(scorer, SignalStore(folder), "cpu")


def test_the_view_asks_about_each_text_once_whatever_wants_to_know(tmp_path: Path) -> None:
    scorer, view = view_of(tmp_path)
    ((great, *_),) = view.attribution(["great but dull"], [1])
    assert great.score == pytest.approx(2.0, abs=1e-5)
    view.attribution(["great but dull"], [0])
    view.score(["but dull", "great dull"])
    assert sorted(scorer.asked) == ["but dull", "great but", "great but dull", "great dull"]
    again = CachedTeacher(scorer, SignalStore(tmp_path), "cpu")
    assert again.attribution(["great but dull"], [1]) == view.attribution(["great but dull"], [1])
    assert len(scorer.asked) == 4, "stored, so that a resumed run asks nothing"


def hunts() -> dict[str, Hunt]:
    requests = {name: Request(name, text, 1, 0) for name, text in (("one", "great but dull"), ("two", "great"))}
    return {name: Hunt(name, (0.5, 0.5), (request,)) for name, request in requests.items()}


def test_the_texts_less_a_word_count_as_queries_of_their_original_and_no_gradients_do(tmp_path: Path) -> None:
    scorer, view = view_of(tmp_path)
    about = hunts()
    recording = RecordingView(view, about)
    recording.attribution(["great but dull", "great", "a stranger"], [1, 1, 1])
    assert list(about["one"].asked) == ["but dull", "great dull", "great but"]
    assert list(about["two"].asked) == [], "a text of one word has none that can go"
    assert about["one"].gradients == about["two"].gradients == 0
    assert recording.shared == {"a stranger", "a", "stranger"}
    assert set(scorer.asked) == {"great but dull", "great", *about["one"].asked, *recording.shared}


def test_what_only_a_network_has_is_refused_with_a_sentence(tmp_path: Path) -> None:
    _, view = view_of(tmp_path)
    with pytest.raises(CodrunError, match="inputs that are not texts"):
        view.distance((0.0, 1.0), (1.0, 1.0))
    with pytest.raises(CodrunError, match="steps along the teacher's gradient"):
        view.projected_step(["great"], [1], [0], 1.0)
    assert view.similarity(["great", "dull"]) == [(), ()]
    assert view.distance("a great film", "a dull film") == (1.0, pytest.approx(1 / 3))
