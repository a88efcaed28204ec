"""The dataset, the perceptron and the gradient generator fulfil the contracts that those for texts fulfil."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from cod_runner.api import Attribution, BuildContext, CodrunError, DataError, Input, Request
from cod_runner.engine.inference import each_row
from codrun_moons.classifier import MLP, build, saved
from codrun_moons.data import Moons
from codrun_moons.gradient import Gradient
from codrun_moons.plugin import GradientOptions, MLPOptions, MoonsOptions

torch.set_num_threads(1)

LABELS = ("upper", "lower")


class Teacher:
    """A :class:`TeacherView` over a classifier, which counts the inputs that it scored."""

    def __init__(self, classifier: MLP) -> None:
        self.labels, self.classifier, self.scored = classifier.labels, classifier, 0

    def score(self, inputs: Sequence[Input]) -> list[tuple[float, ...]]:
        self.scored += len(inputs)
        logits = self.classifier(self.classifier.collate(self.classifier.encode(inputs))).logits
        return [tuple(row) for row in logits.softmax(1).tolist()]

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return self.classifier.attribution(inputs, targets)

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        return self.classifier.distance(original, changed)

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        return [() for _ in words]


def linear(*weights: float) -> MLP:
    return MLP(MLPOptions(inputs=len(weights), hidden=[], margin_weights=list(weights)), LABELS)


# --- moons ---------------------------------------------------------------------------------------------------


def test_moons_without_noise_lie_on_their_circles() -> None:
    data = Moons(MoonsOptions(n=200, validation=10, noise=0), BuildContext()).load()
    assert data.labels == LABELS
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 200, "validation": 10}
    train = data.splits["train"]
    assert [row.label for row in train[:4]] == [0, 1, 0, 1]
    assert len({row.id for rows in data.splits.values() for row in rows}) == 210
    for row in train:
        x, y = row.input
        if row.label == 0:
            assert math.hypot(x, y) == pytest.approx(1) and y >= 0
        else:
            assert math.hypot(x - 1, y - 0.5) == pytest.approx(1) and y <= 0.5


def test_moons_depend_only_on_their_seed() -> None:
    def rows(**options: int) -> Sequence[object]:
        return Moons(MoonsOptions(n=20, **options), BuildContext()).load().splits["train"]

    assert rows(seed=1) == rows(seed=1)
    assert rows(seed=1) != rows(seed=2)
    assert rows(validation=7) == rows(validation=9), "the training points come first"


def test_noise_has_the_given_deviation() -> None:
    quiet, noisy = (
        Moons(MoonsOptions(n=4000, noise=noise), BuildContext()).load().splits["train"] for noise in (0, 0.3)
    )
    off = [math.hypot(*row.input) - 1 for row in noisy if row.label == 0]
    assert all(abs(math.hypot(*row.input) - 1) < 1e-9 for row in quiet if row.label == 0)
    assert math.sqrt(sum(each**2 for each in off) / len(off)) == pytest.approx(0.3, rel=0.1)


# --- mlp -----------------------------------------------------------------------------------------------------


def test_hidden_states_and_logits_have_the_promised_shapes() -> None:
    classifier = MLP(MLPOptions(hidden=[8, 8]), LABELS, seed=1)
    batch = classifier.collate(classifier.encode([(0.0, 1.0), (2.0, -1.0), (0.5, 0.5)]))
    outputs = classifier(batch, hidden=(1, 2))
    assert outputs.logits.shape == (3, 2)
    assert {layer: tuple(states.shape) for layer, states in outputs.hidden.items()} == {1: (3, 1, 8), 2: (3, 1, 8)}
    assert (classifier.shape.layers, classifier.shape.width, classifier.shape.classes) == (2, 8, 2)
    torch.testing.assert_close(classifier.head(outputs.hidden[2][:, 0]), outputs.logits)
    with pytest.raises(CodrunError, match="hidden state 0"):
        classifier(batch, hidden=(0,))


def test_attribution_is_the_margins_derivative() -> None:
    classifier = MLP(MLPOptions(hidden=[16], activation="tanh"), LABELS, seed=3)
    at, step = (0.3, -0.4), 1e-3

    def margin(*point: float) -> float:
        logits = classifier({"vectors": torch.tensor([point])}).logits[0]
        return (logits[1] - logits[0]).item()

    found = classifier.attribution([at, at], [1, 0])
    slopes = [
        (margin(at[0] + step, at[1]) - margin(at[0] - step, at[1])) / (2 * step),
        (margin(at[0], at[1] + step) - margin(at[0], at[1] - step)) / (2 * step),
    ]
    assert [part.score for part in found[0]] == pytest.approx(slopes, rel=1e-2)
    assert [part.score for part in found[1]] == pytest.approx([-each for each in slopes], rel=1e-2)
    assert [(part.start, part.end) for part in found[0]] == [(0, 1), (1, 2)]


def test_a_given_margin_is_a_logistic_model() -> None:
    teacher = linear(3.0, -1.0)
    assert not teacher.untrained_head
    logits = teacher({"vectors": torch.tensor([[0.5, 2.0]])}).logits
    assert float(logits.softmax(1)[0, 1].detach()) == pytest.approx(1 / (1 + math.exp(-(3 * 0.5 - 2.0))))
    assert build(MLPOptions(), BuildContext(labels=LABELS)).untrained_head
    with pytest.raises(CodrunError, match="two classes"):
        MLP(MLPOptions(hidden=[], margin_weights=[1, 0]), ("a", "b", "c"))


@pytest.mark.parametrize("wrong", [{"hidden": [8, 4]}, {"hidden": [0]}, {"margin_weights": [1.0, 2.0]}])
def test_wrong_shapes_are_refused(wrong: dict[str, list[float]]) -> None:
    with pytest.raises(ValidationError):
        MLPOptions.model_validate(wrong)


def test_texts_and_other_lengths_are_refused() -> None:
    classifier = MLP(MLPOptions(), LABELS)
    with pytest.raises(DataError, match="met a text"):
        classifier.encode(["a film"])
    with pytest.raises(DataError, match="2 numbers but met a vector of 3"):
        classifier.encode([(1.0, 2.0, 3.0)])


def test_saved_and_read_back(tmp_path: Path) -> None:
    classifier = MLP(MLPOptions(hidden=[8]), LABELS, seed=1)
    classifier.save(tmp_path / "student")
    again = saved(tmp_path / "student")
    assert again.labels == LABELS and not again.untrained_head
    assert again.fingerprint == classifier.fingerprint
    with torch.no_grad():
        classifier.head.bias.add_(1)
    assert again.fingerprint != classifier.fingerprint


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"\x08\0\0"), ("mlp.json", b"{"), ("mlp.json", b"[]"), ("mlp.json", b'{"options": {}}')],
)
def test_a_damaged_one_is_named_with_the_cure(tmp_path: Path, file: str, content: bytes) -> None:
    MLP(MLPOptions(hidden=[8]), LABELS, seed=1).save(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(CodrunError, match=f"{tmp_path} holds no classifier that can be read; .*--fresh"):
        saved(tmp_path)


def test_seeds_decide_the_initialisation_and_nothing_else() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, two = (MLP(MLPOptions(hidden=[8]), LABELS, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint == same.fingerprint != two.fingerprint


def test_the_engine_reads_vectors_in_fixed_batches() -> None:
    classifier = MLP(MLPOptions(hidden=[8]), LABELS, seed=1)
    inputs = [(float(row), -float(row)) for row in range(20)]
    rows = {place: row for batch in each_row(classifier, inputs, [1], "cpu") for place, _, row in batch}
    alone = next(iter(each_row(classifier, inputs[7:8], [1], "cpu")))[0][2]
    assert torch.equal(rows[7].logits, alone.logits)
    assert rows[7].hidden[1].shape == (1, 8)


def test_distance_is_euclidean() -> None:
    assert MLP(MLPOptions(), LABELS).distance((3.0, 4.0), (3.0, 6.0)) == (2.0, 0.4)


# --- gradient ------------------------------------------------------------------------------------------------


def ask(teacher: Teacher, *inputs: tuple[float, ...], **options: float) -> list[list[tuple[float, ...]]]:
    generator = Gradient(GradientOptions.model_validate(options), BuildContext())
    scores = teacher.score(inputs)
    requests = [
        Request(str(row), value, label=score.index(max(score)), target=score.index(min(score)))
        for row, (value, score) in enumerate(zip(inputs, scores, strict=True))
    ]
    found = generator.propose(requests, teacher)
    return [[one.input for one in of_request] for of_request in found]


def test_steps_go_straight_to_a_straight_boundary() -> None:
    """Margin 2x: from x = -0.45 in steps of 0.2 the fourth place, 0.35 - 0.2 = 0.15, is the first that flips."""
    found = ask(Teacher(linear(2.0, 0.0)), (-0.45, 0.7), (0.25, 1.0), step=0.2)
    assert found[0][0] == pytest.approx((0.15, 0.7))
    assert found[1][0] == pytest.approx((-0.15, 1.0)), "from the other side, the other way"


def test_halving_ends_just_past_the_boundary_and_overshoot_is_a_distance() -> None:
    teacher = Teacher(linear(3.0, 4.0))
    at = (1.0, 1.0)  # 7 / 5 from the boundary, along (3, 4) / 5
    (close,), (past,) = (ask(teacher, at, step=0.5, halvings=30, overshoot=overshoot)[0] for overshoot in (0.0, 0.25))
    foot = (1 - 1.4 * 0.6, 1 - 1.4 * 0.8)
    assert close == pytest.approx(foot, abs=1e-6)
    assert past == pytest.approx((foot[0] - 0.25 * 0.6, foot[1] - 0.25 * 0.8), abs=1e-6)
    score = teacher.score([close])[0]
    assert score[0] > score[1], "it has flipped, if only just"


def test_nothing_is_proposed_without_a_flip() -> None:
    teacher = Teacher(linear(2.0, 0.0))
    assert ask(teacher, (-5.0, 0.0), (-0.1, 0.0), step=0.2, max_steps=3)[0] == []
    flat = MLP(MLPOptions(hidden=[]), LABELS)
    with torch.no_grad():
        flat.head.weight.zero_()
        flat.head.bias.copy_(torch.tensor([1.0, 0.0]))
    asked = Teacher(flat)
    assert ask(asked, (1.0, 1.0)) == [[]]
    assert asked.scored == 1, "without a slope nothing more is scored"


def test_a_curved_boundary_is_reached_too() -> None:
    classifier = MLP(MLPOptions(hidden=[16], activation="tanh"), LABELS, seed=2)
    teacher = Teacher(classifier)
    inputs = [(x / 2, y / 2) for x in range(-3, 4) for y in range(-3, 4)]
    before = [score.index(max(score)) for score in teacher.score(inputs)]
    assert len(set(before)) == 2
    flips = 0
    for was, of_request in zip(before, ask(teacher, *inputs, step=0.05, max_steps=200), strict=True):
        for found in of_request:
            score = teacher.score([found])[0]
            assert score.index(max(score)) != was
            flips += 1
    assert flips > 20


def test_texts_are_refused_in_one_sentence() -> None:
    generator = Gradient(GradientOptions(), BuildContext())
    with pytest.raises(CodrunError, match="holds texts"):
        generator.propose([Request("1", "a film", 0, 1)], Teacher(linear(1.0, 1.0)))
