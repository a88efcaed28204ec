"""The choosers, called as codrun calls them: what comes first, and what the rest depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cod_runner.api import (
    Attempt,
    BuildContext,
    Choice,
    Chooser,
    Choosing,
    DataError,
    Example,
    Input,
)
from cod_runner.registry import Registry

REGISTRY = Registry.discover()


NOBODY: Any = None
"""Takes the place of the teacher, which has said all that a chooser needs."""


class Student:
    """Reads a text as it is told to; remembers what it was asked."""

    def __init__(self, **positive: float) -> None:
        self.positive = positive
        self.asked: list[tuple[list[Input], int]] = []

    def __call__(self, inputs: Sequence[Input], steps: int) -> list[tuple[float, ...]]:
        self.asked.append((list(inputs), steps))
        return [(1 - self.positive[str(value)], self.positive[str(value)]) for value in inputs]


def built(name: str, **options: Any) -> Chooser:
    chooser: Chooser = REGISTRY.build("chooser", name, options, BuildContext())
    return chooser


def candidate(value: Input, edits: float = 1, positive: float = 0.9, tier: int = 0) -> Attempt:
    return Attempt(value, "a generator", 1, None, (1 - positive, positive), edits, tier)


def choice(original: Input, *candidates: Attempt) -> Choice:
    return Choice(Example(str(original), original, label=0), candidates)


def ranked(chooser: Chooser, *choices: Choice, student: Any = None) -> list[list[int]]:
    return chooser.rank(choices, Choosing(NOBODY, student or Student(), seed=0))


SMALL = (candidate("a", positive=0.95), candidate("b", positive=0.8), candidate("c", positive=0.6))
LARGE = candidate("d", edits=2, positive=0.51)
ODD = candidate("e", edits=0.5, positive=0.52, tier=1)


@pytest.mark.parametrize(
    ("which", "order"), [("nearest", [2, 1, 0, 3, 4]), ("median", [1, 2, 0, 3, 4]), ("farthest", [0, 1, 2, 3, 4])]
)
def test_margin_ranks_the_smallest_natural_changes_by_how_far_they_go(which: str, order: list[int]) -> None:
    assert ranked(built("margin", which=which), choice("x", *SMALL, LARGE, ODD)) == [order]


def test_margin_may_look_at_larger_changes_but_never_at_odd_ones() -> None:
    assert ranked(built("margin", within_edits=1), choice("x", *SMALL, LARGE, ODD)) == [[3, 2, 1, 0, 4]]


def test_the_lower_median_of_two_and_the_given_order_of_equals() -> None:
    two = (candidate("a", positive=0.9), candidate("b", positive=0.6))
    assert ranked(built("margin", which="median"), choice("x", *two)) == [[1, 0]]
    same = (candidate("a"), candidate("b"), candidate("c"))
    for which in ("nearest", "farthest"):
        assert ranked(built("margin", which=which), choice("x", *same), choice("y")) == [[0, 1, 2], []]


def test_margin_counts_from_the_second_class_not_from_the_label() -> None:
    three = [
        Attempt("a", "g", 1, None, (0.05, 0.5, 0.45), 1.0),
        Attempt("b", "g", 1, None, (0.3, 0.4, 0.3), 1.0),
    ]
    assert ranked(built("margin"), choice("x", *three)) == [[0, 1]]


def test_fresh_words_avoids_what_the_set_has_said() -> None:
    stock = "it is dull but it works"
    first = choice("it is dull", candidate(stock), candidate("it is fun"))
    second = choice("too long", candidate("too long but it works"), candidate("not long"))
    third = choice("so bad", candidate("so bad but it works"), candidate("so good"))
    assert ranked(built("fresh_words"), first, second, third) == [[0, 1], [1, 0], [1, 0]]


def test_fresh_words_counts_removed_words_apart_from_added_ones() -> None:
    first = choice("a good film", candidate("a bad film"))
    again = choice("good cast", candidate("bad cast"), candidate("poor cast"))
    back = choice("a bad cast", candidate("a good cast"), candidate("a bad cast?"))
    assert ranked(built("fresh_words"), first, again, back) == [[0], [1, 0], [0, 1]]


def test_fresh_words_takes_the_mean_over_a_change_and_the_smaller_of_equals() -> None:
    first = choice("it is dull", candidate("it is dull but it works", edits=3))
    longer = candidate("so bad but it is fun", edits=4)
    second = choice("so bad", candidate("so bad but it works", edits=3), longer)
    assert ranked(built("fresh_words"), first, second) == [[0], [1, 0]], "half of four words against all of three"
    fresh = choice("too long", candidate("not long", edits=1), candidate("never so long", edits=2))
    assert ranked(built("fresh_words"), first, fresh) == [[0], [0, 1]]


def test_fresh_words_prefers_many_new_words_with_two_stale_ones_to_a_stale_word_alone() -> None:
    first = choice("it is dull", candidate("it is dull but it works", edits=3))
    second = choice("so bad", candidate("so bad but", edits=3), candidate("so bad but it is fun", edits=4))
    assert ranked(built("fresh_words"), first, second) == [[0], [1, 0]], "a mean of 1/2 against 1, a sum of 2 against 1"


def test_fresh_words_reads_both_apostrophes_and_cases_as_one() -> None:
    first = choice("it is dull", candidate("it is dull isn't it"))
    second = choice("so bad", candidate("so bad ISN’T"), candidate("so bad really"))
    assert ranked(built("fresh_words"), first, second) == [[0], [1, 0]]


def test_a_change_may_be_larger_than_the_smallest_by_as_much_as_is_allowed_and_no_more() -> None:
    """Distances of vectors are no whole numbers."""
    of = choice(
        (0.0,),
        candidate((1.0,), edits=1.0, positive=0.9),
        candidate((1.5,), edits=1.5, positive=0.8),
        candidate((1.6,), edits=1.6, positive=0.7),
    )
    assert ranked(built("margin", within_edits=0.5), of) == [[1, 0, 2]]


def test_fresh_words_takes_no_change_that_is_larger_than_allowed() -> None:
    first = choice("it is dull", candidate("it is dull but it works", edits=3))
    second = choice("so bad", candidate("so bad but it works", edits=3), candidate("never so fine", edits=5))
    assert ranked(built("fresh_words"), first, second) == [[0], [0, 1]]
    assert ranked(built("fresh_words", within_edits=2), first, second) == [[0], [1, 0]]


def test_fresh_words_is_nested_and_needs_texts() -> None:
    choices = [choice(f"{word} film", candidate(f"{word} film indeed"), candidate("a film")) for word in "abcdefg"]
    chooser = built("fresh_words")
    assert chooser.nested
    assert ranked(chooser, *choices)[:3] == ranked(chooser, *choices[:3])
    with pytest.raises(DataError, match="`fresh_words` compares words, but the inputs of this data set are not texts"):
        ranked(chooser, choice((0.5, 1.0), candidate((0.5, 2.0))))


def test_disagreement_takes_what_the_student_knows_least() -> None:
    student = Student(a=0.9, b=0.4, c=0.2, d=0.0)
    of = choice("x", candidate("a"), candidate("b"), candidate("c", edits=2), candidate("d", edits=3))
    assert ranked(built("disagreement", steps=7), of, student=student) == [[2, 1, 0, 3]]
    assert student.asked == [(["a", "b", "c"], 7)], "a candidate with too many edits is not asked about"


def test_disagreement_is_the_divergence_of_the_student_from_the_teacher() -> None:
    """KL(teacher || student), not the other way round: it punishes a student that is sure of the wrong class."""
    of = choice("x", candidate("a", positive=0.99), candidate("b", positive=0.5))
    student = Student(a=0.5, b=0.02)
    assert ranked(built("disagreement"), of, student=student) == [[1, 0]], "0.69 nats and 1.27"
    assert ranked(built("disagreement"), of, student=Student(a=0.3, b=0.1)) == [[0, 1]], "1.14 nats and 0.51"


def test_misread_candidates_come_first_where_there_are_any() -> None:
    """The student reads b as the other class; on a it is further from the teacher, but on the teacher's side."""
    of = choice("x", candidate("a", positive=0.9999), candidate("b", positive=0.55))
    student = Student(a=0.51, b=0.45)
    assert ranked(built("disagreement"), of, student=student) == [[0, 1]]
    assert ranked(built("disagreement", misread=True), of, student=student) == [[1, 0]]
    neither = Student(a=0.51, b=0.6)
    assert ranked(built("disagreement", misread=True), of, student=neither) == [[0, 1]]


def test_the_student_is_trained_only_where_there_is_a_choice() -> None:
    student = Student(b=0.9, c=0.1)
    chooser = built("disagreement")
    assert not chooser.nested
    assert ranked(chooser, choice("x", candidate("a")), choice("y"), student=student) == [[0], []]
    assert student.asked == []
    both = choice("z", candidate("b"), candidate("c"))
    assert ranked(chooser, choice("x", candidate("a")), both, choice("y"), student=student) == [[0], [1, 0], []]
    assert student.asked == [(["b", "c"], 20)]


@pytest.mark.parametrize("name", ["margin", "fresh_words", "disagreement"])
def test_every_candidate_is_ranked_once(name: str) -> None:
    words = "abcdefgh"
    of = choice("x", *(candidate(word, edits=number % 3, tier=number % 2) for number, word in enumerate(words)))
    (order,) = ranked(built(name), of, student=Student(**dict.fromkeys(words, 0.3)))
    assert sorted(order) == list(range(len(words)))
