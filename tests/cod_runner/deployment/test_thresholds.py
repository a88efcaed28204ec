"""From which probability on a label is given, against values by hand."""

from __future__ import annotations

import math

import pytest

from cod_runner.binomial import wilson
from cod_runner.deployment.thresholds import threshold_for
from cod_runner.errors import CodrunError
from cod_runner.runs.student_record import HeldOut, SavedComponent, StudentRecord

PROBABILITIES = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3]
"""Of the label `bad`, calibrated."""
GOLD = [1, 1, 0, 1, 0, 1]


def record(
    temperature: float | None = None, gold: list[int] = GOLD, probabilities: list[float] = PROBABILITIES
) -> StudentRecord:
    scale = temperature or 1.0
    logits = [[0.0, scale * math.log(p / (1 - p))] for p in probabilities]
    held_out = HeldOut(labels=gold, logits=logits) if gold else None
    return StudentRecord(
        student=SavedComponent(use="mlp"), labels=("good", "bad"), method="kd", arm="cod", k=8, seed=0,
        temperature=temperature, held_out=held_out,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [None, 2.5])
def test_of_the_thresholds_that_are_precise_enough_the_one_that_finds_most(temperature: float | None) -> None:
    found = threshold_for(record(temperature), "bad", precision=0.75)
    assert found.value == pytest.approx(0.6)
    assert (found.precision, found.recall, found.given, found.having, found.rows) == (0.75, 0.75, 4, 4, 6)
    assert found.interval == pytest.approx(wilson(3, 4))
    certain = threshold_for(record(temperature), "bad", precision=1.0)
    assert certain.value == pytest.approx(0.8)
    assert (certain.precision, certain.recall) == (1.0, 0.5)


def test_of_the_thresholds_that_find_enough_the_most_precise() -> None:
    found = threshold_for(record(), "bad", recall=0.7)
    assert found.value == pytest.approx(0.6)
    assert (found.precision, found.recall, found.wanted) == (0.75, 0.75, "recall")
    everything = threshold_for(record(), "bad", recall=1.0)
    assert everything.value == pytest.approx(0.3)
    assert everything.interval == pytest.approx(wilson(4, 4))


def test_the_other_label_has_thresholds_of_its_own() -> None:
    found = threshold_for(record(), "good", precision=0.5)
    assert found.value == pytest.approx(0.3)
    assert (found.precision, found.recall, found.given) == (0.5, 1.0, 4)


def test_equal_probabilities_are_given_the_label_together() -> None:
    tied = record(gold=[1, 0, 0], probabilities=[0.8, 0.8, 0.2])
    assert threshold_for(tied, "bad", precision=0.5).given == 2
    with pytest.raises(
        CodrunError, match=r"no threshold reaches a precision of 0\.9 for `bad` .* the highest is 0\.50"
    ):
        threshold_for(tied, "bad", precision=0.9)


def test_few_rows_are_warned_of() -> None:
    (told, warned) = threshold_for(record(), "bad", precision=0.75).sentences
    assert told == (
        "`bad` is given where its probability is at least 0.600: on 6 held-out rows precision 0.75, recall 0.75 (4 are "
        "given it, 4 have it); 95% interval of the precision: 0.30 to 0.95"
    )
    assert warned == (
        "the precision rests on 4 of 6 held-out rows, which is little: see the interval, and leave more labelled rows "
        "beside k to narrow it"
    )
    many = record(gold=[1] * 40 + [0] * 10, probabilities=[0.9] * 40 + [0.2] * 10)
    assert len(threshold_for(many, "bad", precision=0.9).sentences) == 1


@pytest.mark.parametrize(
    ("of", "label", "wanted", "sentence"),
    [
        (record(), "bed", {"recall": 0.5}, "has no label `bed`; did you mean `bad`? It has `good`, `bad`"),
        (record(gold=[]), "bad", {"recall": 0.5}, "no row was held out of the training of kd-cod-k8-s0"),
        (record(gold=[0] * 6), "bad", {"recall": 0.5}, "none of the 6 held-out rows has the label `bad`"),
        (record(), "bad", {}, "give one of the two"),
        (record(), "bad", {"recall": 0.5, "precision": 0.5}, "give one of the two"),
        (record(), "bad", {"precision": 90.0}, "a share above 0 and at most 1, not 90"),
    ],
)
def test_what_cannot_be_had_is_said(of: StudentRecord, label: str, wanted: dict[str, float], sentence: str) -> None:
    with pytest.raises(CodrunError) as caught:
        threshold_for(of, label, **wanted)
    assert sentence in str(caught.value)
