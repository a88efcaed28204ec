"""How many examples and shots a file of labelled texts allows, by hand."""

from __future__ import annotations

import pytest

from cod_runner.api import DataError, Example
from cod_runner.data.cleaning import Dropped
from cod_runner.data.corpus import Corpus
from cod_runner.scaffold.sizes import fewest_rows, suitable_k, suitable_shots, without_shots


def corpus(*rows_by_class: int) -> Corpus:
    pool = tuple(
        Example(f"{label}:{row}", f"text {label} {row}", label)
        for label, rows in enumerate(rows_by_class)
        for row in range(rows)
    )
    return Corpus(tuple("abcdefgh"[: len(rows_by_class)]), pool, (), (), Dropped())


@pytest.mark.parametrize(
    ("rows", "ks"),
    [
        ((400, 400), [8, 16]),
        ((12, 50), [8, 16]),  # a third of the class with the fewest stays out: 8 of 12, and as many of the other
        ((11, 50), [8]),
        ((8, 8), [8]),
        ((6, 6), [8]),
        ((5, 5), [4]),
        ((2, 9), [4]),  # no third to spare: what there is
        ((40, 40, 40), [12, 24]),
    ],
)
def test_k_leaves_a_third_of_the_smallest_class_where_it_can(rows: tuple[int, ...], ks: list[int]) -> None:
    assert suitable_k(corpus(*rows)) == ks


def test_a_class_too_small_for_any_k_is_named() -> None:
    with pytest.raises(DataError, match=r"of the class `b`.*label more rows of it"):
        suitable_k(corpus(9, 1))


@pytest.mark.parametrize(("rows", "shots"), [((100, 100), 8), ((8, 100), 4), ((3, 3), 0), ((90,) * 8, 32)])
def test_shots_are_at_most_four_of_a_class_and_leave_some(rows: tuple[int, ...], shots: int) -> None:
    whole = corpus(*rows)
    assert suitable_shots(whole) == shots
    rest = without_shots(whole, shots)
    assert len(rest) == sum(rows) - shots
    assert fewest_rows(whole) - shots // len(rows) == min(
        sum(row.label == label for row in rest) for label in range(len(rows))
    )
