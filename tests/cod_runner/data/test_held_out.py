"""Which rows of the pool a student is calibrated and chosen by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cod_runner.api import Example
from cod_runner.data import held_out
from cod_runner.data.fewshot import TrainingSet
from cod_runner.data.held_out import HeldOutRows

TOPICS = ("harbour", "kitchen", "mountain", "station", "garden", "theatre", "library", "bridge")
POOL = tuple(
    Example(f"train:{number}", f"row {number} says at some length what the {topic} was like", number % 2)
    for number, topic in enumerate(TOPICS)
)


def ids(rows: tuple[Example, ...]) -> list[str]:
    return [row.id for row in rows]


def test_the_training_rows_are_not_held_out_and_the_others_are_in_an_order_of_their_texts() -> None:
    everything = ids(HeldOutRows(POOL).of(TrainingSet(())))
    assert sorted(everything) == sorted(ids(POOL)) != everything
    assert ids(HeldOutRows(POOL[::-1]).of(TrainingSet(()))) == everything
    without = ids(HeldOutRows(POOL).of(TrainingSet((POOL[0], POOL[3]), originals=(POOL[0], POOL[3]))))
    assert without == [name for name in everything if name not in ("train:0", "train:3")]


def test_sets_of_a_large_pool_share_nearly_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "HELD_OUT_ROWS", 4)
    rows = HeldOutRows(POOL)
    whole = rows.of(TrainingSet(()))
    assert len(whole) == 4
    less = rows.of(TrainingSet((whole[1],)))
    assert ids(less)[:3] == [whole[0].id, whole[2].id, whole[3].id]
    assert len(less) == 4


def test_a_row_like_a_text_that_was_trained_on_is_not_held_out() -> None:
    changed = Example("train:1~cf", str(POOL[2].input).replace("length", "leisure"), 1, "train:1", True)
    equal = Example("made", str(POOL[5].input).upper() + "!", 0)
    found = ids(HeldOutRows(POOL).of(TrainingSet((changed, equal))))
    assert set(ids(POOL)) - set(found) == {"train:2", "train:5"}


def test_what_lends_its_counterfactual_is_not_held_out_nor_what_trained_the_teacher_of_a_cut_student() -> None:
    lent = Example("train:4~cf", "nothing of the kind", 1, "train:4", True)
    unlabelled = replace(POOL[6], label=None)
    chosen = TrainingSet((POOL[0], lent, unlabelled), originals=(POOL[0],), lenders=(POOL[4],))
    assert set(ids(HeldOutRows(POOL, {"train:1", "train:2"}).of(chosen))) == {"train:3", "train:5", "train:7"}


def test_vectors_are_held_out_too() -> None:
    points = [Example(f"p:{number}", (float(number), 0.0), number % 2) for number in range(3)]
    copy = Example("p:0~cf", (1.0, 0.0), 0, "p:0", True)
    assert ids(HeldOutRows(points).of(TrainingSet((points[0], copy)))) == ["p:2"]
