"""The labelled texts in a teacher's prompt: balanced, drawn by seed and content alone, and refused where there are too
few."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cod_runner.api import DataError, Example
from cod_runner.data.shots import drawn_shots

LABELS = ("negative", "neutral", "positive")


def pool(*counts: int) -> list[Example]:
    return [
        Example(f"train:{label}-{row}", f"text {row} of class {label}", label)
        for label, count in enumerate(counts)
        for row in range(count)
    ]


def classes(shots: Sequence[Example]) -> list[int]:
    return [shot.hard_label for shot in shots]


@pytest.mark.parametrize(
    ("count", "shares"), [(1, [0, 0, 1]), (2, [0, 1, 1]), (3, [1, 1, 1]), (8, [2, 3, 3]), (9, [3, 3, 3])]
)
def test_each_class_has_as_many_to_one(count: int, shares: list[int]) -> None:
    counted = Counter(classes(drawn_shots(pool(20, 20, 20), LABELS, count, 0)))
    assert sorted(counted[label] for label in range(3)) == shares


def test_none_is_drawn_twice() -> None:
    shots = drawn_shots(pool(20, 20, 20), LABELS, 12, 0)
    assert len({shot.id for shot in shots}) == 12


def test_the_seed_decides_which_and_in_which_order() -> None:
    rows = pool(20, 20, 20)
    assert drawn_shots(rows, LABELS, 6, 0) == drawn_shots(rows, LABELS, 6, 0)
    drawn = [drawn_shots(rows, LABELS, 6, seed) for seed in range(5)]
    assert len({frozenset(shot.id for shot in shots) for shots in drawn}) == 5
    assert len({tuple(classes(shots)) for shots in drawn}) > 1


def test_no_class_is_always_last_or_always_has_one_more() -> None:
    rows = pool(20, 20, 20)
    drawn = [classes(drawn_shots(rows, LABELS, 4, seed)) for seed in range(30)]
    assert {each[-1] for each in drawn} == {0, 1, 2}, "a model leans towards what it has read last"
    assert {Counter(each).most_common(1)[0][0] for each in drawn} == {0, 1, 2}


def test_nothing_changes_with_the_order_or_the_names_of_the_rows() -> None:
    rows = pool(12, 15, 18)
    shuffled = [replace(row, id=f"row {place}") for place, row in enumerate(random.Random(1).sample(rows, len(rows)))]
    first, second = (drawn_shots(each, LABELS, 7, 3) for each in (rows, shuffled))
    assert [shot.input for shot in first] == [shot.input for shot in second]


def test_more_rows_of_one_class_leave_the_shots_of_the_others() -> None:
    few, many = drawn_shots(pool(10, 10, 10), LABELS, 6, 0), drawn_shots(pool(10, 10, 40), LABELS, 6, 0)
    assert {s.input for s in few if s.label != 2} == {s.input for s in many if s.label != 2}


@pytest.mark.parametrize(
    ("counts", "count", "sentence"),
    [
        ((9, 3, 9), 9, "`shots: 9` needs 3 labelled texts of `neutral` for the prompt, and one more to train on, and"),
        (
            (9, 9, 0),
            3,
            r"`shots: 3` needs 1 labelled text of `positive` .* the pool has 0; take fewer shots, or add rows",
        ),
        ((0, 0, 0), 3, "`shots: 3` needs 1 labelled text of"),
    ],
)
def test_too_few_rows_are_a_sentence_about_the_option(counts: tuple[int, ...], count: int, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        drawn_shots(pool(*counts), LABELS, count, 0)
    assert caught.value.setting == ("shots",)
