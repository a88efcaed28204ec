"""Pairs share a batch, each pass has an order of its own, and nothing is left out."""

from __future__ import annotations

import math

import pytest

from cod_runner.api import CodrunError, Example
from cod_runner.engine.batches import TrainingBatches
from cod_runner.testing.classifiers import TextClassifier


def _pairs(count: int, singles: int = 0) -> list[Example]:
    originals = [Example(f"{row}", f"w{row} good", 1, partner=f"{row}~cf") for row in range(count)]
    changed = [Example(f"{row}~cf", f"w{row} bad", 0, partner=f"{row}", is_counterfactual=True) for row in range(count)]
    return [*originals, *changed, *(Example(f"s{row}", "alone", 0) for row in range(singles))]


def _batches(examples: list[Example], size: int) -> TrainingBatches:
    return TrainingBatches(TextClassifier(texts=["good bad"]), examples, size, "cpu")


@pytest.mark.parametrize(("count", "singles", "size"), [(8, 0, 4), (7, 0, 4), (5, 3, 4), (3, 6, 8), (1, 1, 2)])
def test_a_pass_holds_every_example_once_and_every_pair_in_one_batch(count: int, singles: int, size: int) -> None:
    batches = _batches(_pairs(count, singles), size)
    for number in range(20):
        order = batches.of_pass(number, 0, "order")
        assert sorted(row for rows in order for row in rows) == list(range(2 * count + singles))
        assert len(order) == math.ceil((2 * count + singles) / size)
        assert max(map(len, order)) <= size
        for rows in order:
            batch = batches.batch(rows)
            for row, (name, partner) in enumerate(zip(batch.ids, batch.partner.tolist(), strict=True)):
                if name.startswith("s"):
                    assert partner == -1
                else:
                    other = name.removesuffix("~cf") if name.endswith("~cf") else f"{name}~cf"
                    assert batch.ids[partner] == other and batch.partner[partner] == row
                    assert bool(batch.is_counterfactual[row]) == name.endswith("~cf")


def test_order_belongs_to_seed_and_pass_alone() -> None:
    batches = _batches(_pairs(8), 4)
    assert batches.of_pass(1, 0, "order") == _batches(_pairs(8), 4).of_pass(1, 0, "order")
    assert batches.of_pass(1, 0, "order") != batches.of_pass(2, 0, "order")
    assert batches.of_pass(1, 0, "order") != batches.of_pass(1, 1, "order")


def test_an_original_stays_with_all_its_counterfactuals() -> None:
    examples = [
        Example("0~cf", "bad", 0, partner="0", is_counterfactual=True),
        Example("0", "good", 1, partner="0~cf"),
        Example("0~cf2", "dull", 2, partner="0", is_counterfactual=True),
        Example("1", "alone", 0),
    ]
    order = _batches(examples, 4).of_pass(0, 0)
    assert sorted(map(sorted, _batches(examples, 2).of_pass(0, 0))) == [[0, 1, 2], [3]]
    assert len(order) == 1
    # Pairs and singles fill their batches; three halves that stay together leave gaps, or need more room.
    triples = [
        Example(f"{row}{kind}", "good", 0, partner=f"{row}~a" if not kind else f"{row}")
        for row in range(4)
        for kind in ("", "~a", "~b")
    ]
    assert len(_batches(triples, 4).of_pass(0, 0)) == 4 > math.ceil(12 / 4)
    assert len(_batches(triples, 2).of_pass(0, 0)) == 4 < math.ceil(12 / 2)


def test_what_cannot_be_batched_is_said() -> None:
    with pytest.raises(CodrunError, match="batch_size: 3` cannot be filled with whole pairs"):
        _batches(_pairs(2), 3)
    assert len(_batches([Example("a", "x", 0), Example("b", "y", 1)], 1).of_pass(0, 0)) == 2
    with pytest.raises(CodrunError, match="one id"):
        _batches([Example("a", "x", 0), Example("a", "y", 1)], 2)
    with pytest.raises(CodrunError, match="no example"):
        _batches([], 2)
