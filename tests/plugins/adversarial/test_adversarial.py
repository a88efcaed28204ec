"""The generator `adversarial`: over a text classifier of random weights, and over a teacher without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from cod_runner.api import BuildContext, CodrunError, Input, Request
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.testing.classifiers import VectorClassifier
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert
from codrun_adversarial.generator import Adversarial
from codrun_adversarial.plugin import AdversarialOptions
from codrun_transformers.build import build_teacher
from codrun_transformers.options import TeacherOptions

LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> CachedTeacher:
    torch.set_num_threads(1)
    folder = tiny_bert(tmp_path_factory.mktemp("teacher"), labels=LABELS, initializer_range=0.2)
    built = build_teacher(TeacherOptions(model=str(folder)), BuildContext(labels=LABELS))
    return CachedTeacher(built, SignalStore(tmp_path_factory.mktemp("signals")), "cpu")


def made(**options: float) -> Adversarial:
    return Adversarial(AdversarialOptions.model_validate(options), BuildContext())


def read_as(teacher: CachedTeacher, texts: Sequence[Input]) -> list[int]:
    return [each.index(max(each)) for each in teacher.score(texts)]


def requests(teacher: CachedTeacher, number: int = 1, stay: bool = False) -> list[Request]:
    asked = []
    for place, (text, probabilities) in enumerate(zip(SENTENCES, teacher.score(SENTENCES), strict=True)):
        best, second, _ = sorted(range(3), key=lambda label: -probabilities[label])
        asked.append(Request(f"r{place}", text, best, best if stay else second, round=number))
    return asked


def test_a_round_proposes_one_text_and_later_ones_step_farther(teacher: CachedTeacher) -> None:
    generator = made()
    assert generator.rounds == 8
    changed = []
    for number in range(1, 9):
        proposals = generator.propose(requests(teacher, number), teacher)
        assert [len(each) for each in proposals] == [1] * len(SENTENCES)
        found = [str(each[0].input) for each in proposals]
        changed.append(sum(teacher.distance(old, new)[0] for old, new in zip(SENTENCES, found, strict=True)))
    assert changed == sorted(changed) and changed[0] < changed[-1]


def test_steps_cross_the_boundary_into_the_class_that_was_asked_for(teacher: CachedTeacher) -> None:
    flipped = set()
    for number in range(1, 9):
        asked = requests(teacher, number)
        found = [each[0].input for each in made().propose(asked, teacher)]
        read = read_as(teacher, found)
        flipped |= {request.id for request, label in zip(asked, read, strict=True) if label == request.target}
    assert len(flipped) >= len(SENTENCES) / 2


def test_where_the_class_is_to_stay_the_step_leads_to_the_runner_up(teacher: CachedTeacher) -> None:
    towards = made().propose(requests(teacher, 5), teacher)
    assert made().propose(requests(teacher, 5, stay=True), teacher) == towards
    assert [each[0].input for each in towards] != list(SENTENCES)


def test_a_step_too_short_proposes_the_input_so_that_the_next_round_comes(teacher: CachedTeacher) -> None:
    assert [each[0].input for each in made(size=0.01).propose(requests(teacher), teacher)] == list(SENTENCES)


def test_requests_of_different_rounds_are_answered_in_their_order(teacher: CachedTeacher) -> None:
    early, late = requests(teacher, 1), requests(teacher, 8)
    mixed = [late[0], early[1], late[2], early[3]]
    alone = [made().propose([request], teacher)[0] for request in mixed]
    assert made().propose(mixed, teacher) == alone
    assert made().propose([], teacher) == []


class Recorder:
    """A teacher that steps nowhere, and remembers how far it was to step and towards which class."""

    def __init__(self, *said: tuple[float, ...]) -> None:
        self.said, self.steps = said, []  # type: ignore[var-annotated]

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        return list(self.said[: len(inputs)])

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        self.steps.append((list(targets), round(size, 9)))
        return list(inputs)


def test_the_first_round_steps_as_far_as_the_options_say_and_each_later_one_by_a_factor_farther() -> None:
    recorder = Recorder()
    asked = [Request("a", "x", 0, 1, round=3), Request("b", "y", 1, 0, round=1)]
    made(size=2.0, growth=1.5).propose(asked, recorder)  # type: ignore[arg-type]
    assert recorder.steps == [([0], 2.0), ([1], 4.5)]


def test_of_two_runners_up_that_are_equal_the_first_is_taken() -> None:
    recorder = Recorder((0.2, 0.4, 0.2, 0.2), (0.1, 0.6, 0.1, 0.2))
    asked = [Request(name, name, 1, 1) for name in "ab"]
    made(size=1.0).propose(asked, recorder)  # type: ignore[arg-type]
    assert recorder.steps == [([0, 3], 1.0)]


def test_a_teacher_without_steps_ends_in_a_sentence(tmp_path: Path) -> None:
    other = CachedTeacher(VectorClassifier(), SignalStore(tmp_path), "cpu")
    with pytest.raises(CodrunError, match="steps along the teacher's gradient, which this teacher does not offer"):
        made().propose([Request("r", (0.5, 1.0), 0, 1)], other)
