"""What calibration takes out of a teacher's answers, against values by hand, and what it asks to learn it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cod_runner.api import HiddenStateScorer, Input, LabelScorer, ModelShape
from cod_runner.engine.calibration import TEMPERATURES, Calibration, calibrated, fitted_temperature, leaning
from cod_runner.engine.signals import SignalStore

TEXTS = ["0.9", "0.6", "0.3"]
"""Texts whose number is the probability that the scorer gives to the first class."""


class Numbers:
    labels, at_once, fingerprint = ("first", "second"), 2, "numbers"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        self.asked += map(str, inputs)
        progress(len(inputs), len(inputs))
        return torch.tensor([[float(str(value)), 1 - float(str(value))] for value in inputs]).log()

    def price(self, inputs: Sequence[Input]) -> float | None:
        return 0.5 * len(inputs)


class NumbersWithStates(Numbers):
    shape = ModelShape(layers=1, width=2, classes=2)

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Callable[[int, int], None] = lambda d, t: None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return self.score(inputs, progress), {n: torch.tensor([[n, float(str(v))] for v in inputs]) for n in layers}


def probabilities(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows).log()


def test_the_leaning_is_the_logarithm_of_the_mean_probability() -> None:
    first, second = leaning(probabilities([0.9, 0.1], [0.6, 0.4], [0.3, 0.7]))
    assert first == pytest.approx(math.log(0.6 / 0.4) / 2, abs=1e-6)
    assert second == -first
    three = leaning(probabilities([0.5, 0.25, 0.25], [0.1, 0.45, 0.45]))
    logs = [math.log(each) for each in (0.3, 0.35, 0.35)]
    assert three == pytest.approx([each - sum(logs) / 3 for each in logs], abs=1e-6)


def test_it_is_a_mean_of_probabilities_and_no_median_or_mean_of_logarithms() -> None:
    sure = leaning(probabilities([0.999, 0.001], [0.999, 0.001], [0.001, 0.999]))
    assert sure[0] == pytest.approx(math.log((2 * 0.999 + 0.001) / (0.999 + 2 * 0.001)) / 2, abs=1e-5)


def test_a_text_of_the_leaning_is_undecided_after_calibration() -> None:
    said = probabilities([0.8, 0.2])
    calibration = Calibration(leaning(said))
    assert calibration(said).exp().tolist() == [[pytest.approx(0.5), pytest.approx(0.5)]]
    # p / mean, normalised: (0.9 / 0.8, 0.1 / 0.2)
    assert calibration(probabilities([0.9, 0.1])).exp()[0, 0] == pytest.approx(1.125 / 1.625)


def test_a_class_that_is_never_named_leaves_finite_answers() -> None:
    never = torch.tensor([[0.0, math.log(1e-12)]])
    said = Calibration(leaning(never))(never)
    assert torch.isfinite(said).all()


def test_temperature_divides_after_the_leaning_is_out() -> None:
    said = Calibration((0.5, -0.5), 2.0)(probabilities([0.8, 0.2]))
    expected = torch.log_softmax((torch.tensor([[0.8, 0.2]]).log() - torch.tensor([0.5, -0.5])) / 2, 1)
    assert said.dtype == torch.float32
    assert torch.allclose(said, expected)


def test_no_leaning_and_temperature_1_change_nothing() -> None:
    said = torch.log_softmax(torch.randn(20, 3, generator=torch.manual_seed(0)), 1)
    assert torch.allclose(Calibration((0.0, 0.0, 0.0))(said), said, atol=1e-6)


def test_an_answer_is_calibrated_the_same_alone_and_in_company() -> None:
    said = torch.log_softmax(torch.randn(50, 3, generator=torch.manual_seed(1)), 1)
    calibration = Calibration((0.3, -0.1, -0.2), 1.7)
    assert torch.equal(calibration(said), torch.cat([calibration(row[None]) for row in said]))


def test_the_temperature_is_that_of_the_smallest_cross_entropy() -> None:
    # Confidence .9, right in 6 of 10: the temperature at which the odds of 9 are odds of 1.5.
    said = probabilities(*[[0.9, 0.1]] * 10)
    labels = [0] * 6 + [1] * 4
    assert fitted_temperature(said, labels) == pytest.approx(math.log(9) / math.log(1.5), rel=0.012)
    # .6 and right in 9 of 10: sharper
    assert fitted_temperature(probabilities(*[[0.6, 0.4]] * 10), [0] * 9 + [1]) == pytest.approx(
        math.log(1.5) / math.log(9), rel=0.012
    )


def test_of_equal_temperatures_the_nearest_to_1_is_taken() -> None:
    assert fitted_temperature(probabilities([0.5, 0.5], [0.5, 0.5]), [0, 1]) == 1.0
    assert 1.0 in TEMPERATURES.tolist() or min(abs(TEMPERATURES - 1)) < 1e-9


def test_raw_answers_are_stored_so_that_another_calibration_asks_nothing(tmp_path: Path) -> None:
    scorer, store = Numbers(), SignalStore(tmp_path)
    first = calibrated(scorer, Calibration((0.2, -0.2)), store, "cpu")
    second = calibrated(scorer, Calibration((0.2, -0.2), 2.0), store, "cpu")
    store.add(first, TEXTS, device="cpu")
    assert sorted(scorer.asked) == sorted(TEXTS)
    store.add(second, TEXTS, device="cpu")
    assert len(scorer.asked) == 3, "asked nothing again"
    raw = store.reader("numbers").logits(TEXTS)
    assert raw.exp()[:, 0].tolist() == pytest.approx([0.9, 0.6, 0.3])
    for each in (first, second):
        assert torch.allclose(store.reader(each.fingerprint).logits(TEXTS), each.calibration(raw), atol=1e-6)
    sharp, soft = (store.reader(each.fingerprint).logits(TEXTS) for each in (first, second))
    assert not torch.allclose(sharp, soft, atol=1e-2)


def test_the_calibration_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    scorer, store = Numbers(), SignalStore(tmp_path)
    calibrations = [Calibration((0.2, -0.2)), Calibration((0.3, -0.3)), Calibration((0.2, -0.2), 2.0)]
    names = [calibrated(scorer, each, store, "cpu").fingerprint for each in calibrations]
    assert len({*names, scorer.fingerprint}) == 4
    assert calibrated(scorer, Calibration((0.2, -0.2)), store, "cpu").fingerprint == names[0]
    other = Numbers()
    other.fingerprint = "others"
    assert calibrated(other, calibrations[0], store, "cpu").fingerprint != names[0]


def test_a_calibrated_scorer_is_a_scorer_of_the_same_sort(tmp_path: Path) -> None:
    store = SignalStore(tmp_path)
    plain = calibrated(Numbers(), Calibration((0.0, 0.0)), store, "cpu")
    assert isinstance(plain, LabelScorer) and not isinstance(plain, HiddenStateScorer)
    assert plain.price(["0.5"] * 4) == 2.0
    scorer = NumbersWithStates()
    opened = calibrated(scorer, Calibration((0.2, -0.2)), store, "cpu")
    assert isinstance(opened, HiddenStateScorer) and opened.shape == scorer.shape
    store.add(opened, TEXTS, (0, 1), device="cpu")
    rows = store.reader(opened.fingerprint).rows(TEXTS, (0, 1))
    assert [row.hidden[1].tolist() for row in rows] == [[[1.0, pytest.approx(float(text))]] for text in TEXTS]
    said = torch.stack([row.logits for row in rows])
    assert torch.allclose(said, opened.calibration(store.reader("numbers").logits(TEXTS)), atol=1e-6)


def test_progress_counts_the_texts_of_the_caller(tmp_path: Path) -> None:
    store, seen = SignalStore(tmp_path), []
    scorer = calibrated(Numbers(), Calibration((0.1, -0.1)), store, "cpu")
    store.add(scorer.raw, TEXTS[:1], device="cpu")
    store.add(scorer, [*TEXTS, "0.25", "0.75"], device="cpu", progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {5} and seen[-1] == (5, 5)
