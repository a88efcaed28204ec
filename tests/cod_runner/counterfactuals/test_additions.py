"""What is taken from a search, in which order and with which label, and what a search tells of its questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from word_count_teacher import Scripted, WordCountTeacher

from cod_runner.api import Attempt, CodrunError, Example, Generator, Proposal, Request, TeacherView
from cod_runner.counterfactuals import Addition, OutcomeStore, PairOutcome, PairSearch
from cod_runner.counterfactuals.different_words import changed_places, on_different_words
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.recipe.arms import Keep
from cod_runner.recipe.grammar import Counterfactuals

TEXT = "a good film for a good day"
GOLD = Example("row 7", TEXT, 1)


def searched(
    folder: Path, *rounds: Sequence[Proposal | str], keep: Keep = "flip", wanted: int = 1, **settings: Any
) -> tuple[PairSearch, PairOutcome]:
    search = PairSearch(
        [("g", Scripted({TEXT: rounds}, rounds=len(rounds)))], WordCountTeacher(), "teacher",
        Counterfactuals(generators=["x"], **settings), None, OutcomeStore(folder / "pairs.sqlite"), keep, wanted,
    )  # fmt: skip
    (outcome,) = search.search([GOLD])
    return search, outcome


def texts(rows: Sequence[Example] | None) -> list[Any]:
    return [row.input for row in rows or ()]


def test_a_miss_is_the_candidate_nearest_to_the_boundary_that_does_not_cross_it(tmp_path: Path) -> None:
    """`good` speaks for class 1 with 2, `warm` with 1, `cold` for class 0 with 1, `awful` with 3."""
    search, outcome = searched(
        tmp_path,
        ["a good film for a warm day", "a good film for a cold day", "a warm film for a good day"],
        ["a awful film for a awful day"],
    )
    (miss,) = Addition(search, "misses").of(GOLD, outcome) or ()
    assert miss == Example("row 7~miss", "a good film for a cold day", 1), "margin 1, not 3"
    (flip,) = Addition(search, "flips").of(GOLD, outcome) or ()
    assert flip == Example("row 7~cf", "a awful film for a awful day", 0, is_counterfactual=True)


def test_a_miss_has_the_teachers_word_where_gold_says_otherwise(tmp_path: Path) -> None:
    search, outcome = searched(tmp_path, ["a good film for a warm day", "a bad film for a bad day"])
    (miss,) = Addition(search, "misses").of(replace(GOLD, label=0), outcome) or ()
    assert (miss.label, miss.is_counterfactual) == (1, False)


def test_a_candidate_that_was_refused_unread_is_no_miss(tmp_path: Path) -> None:
    search, outcome = searched(tmp_path, ["a", "a bad film for a bad day"])
    assert outcome.attempts[0].reason == "length_ratio"
    assert Addition(search, "misses").of(GOLD, outcome) is None


def test_two_flips_change_no_word_both(tmp_path: Path) -> None:
    search, outcome = searched(
        tmp_path,
        ["a awful film for a good day", "a odd awful film for a good day", "a good film for a awful day"],
        wanted=2,
    )
    first, second = Addition(search, "flips", 2).of(GOLD, outcome) or ()
    assert texts([first, second]) == ["a awful film for a good day", "a good film for a awful day"]
    assert [first.id, second.id] == ["row 7~cf", "row 7~cf2"]
    assert [first.label, second.label] == [0, 0]
    assert Addition(search, "flips", 3).of(GOLD, outcome) is None, "the third would change a word again"


def test_the_search_goes_on_until_as_many_flips_are_on_different_words(tmp_path: Path) -> None:
    rounds = (
        ["a awful film for a good day", "a odd awful film for a good day"],
        ["a good film for a awful day"],
        ["a awful film for a cold day"],
    )
    search, outcome = searched(tmp_path, *rounds, wanted=2)
    assert texts(Addition(search, "flips", 2).of(GOLD, outcome)) == [rounds[0][0], rounds[1][0]]
    assert len(outcome.attempts) == 3, "and no further"


def test_words_that_are_changed() -> None:
    assert changed_places(TEXT, TEXT) == frozenset()
    assert changed_places(TEXT, "a bad film for a good day") == {1}
    assert changed_places(TEXT, "a bad movie for a good day") == {1, 2}
    assert changed_places(TEXT, "a very good film for a good day") == {0.5}
    assert changed_places(TEXT, f"{TEXT} but long") == {6.5}
    assert changed_places(TEXT, "a film for a good day") == {1}


def test_vectors_have_no_words_so_any_two_will_do() -> None:
    moved = [Attempt(point, "g", 1, None, (0.9, 0.1), 1.0) for point in ((1.0, 5.0), (1.0, 5.0), (3.0, 2.0))]
    assert on_different_words((1.0, 2.0), moved, 2) == [moved[0], moved[2]]


def test_copies_have_their_originals_gold_label_and_texts_the_teachers_word(tmp_path: Path) -> None:
    misread = replace(GOLD, label=0)  # the teacher reads it as 1
    for keep, offered, what, label, name in (
        ("same", "a good film for a warm day", "copies", 0, "row 7~copy"),
        ("any", "a good film for a warm day", "texts", 1, "row 7~text"),
        ("any", "an awful thing", "texts", 0, "row 7~text"),
    ):
        (tmp_path / f"{what}{label}").mkdir(exist_ok=True)
        search, outcome = searched(tmp_path / f"{what}{label}", [offered], keep=keep)  # type: ignore[arg-type]
        (added,) = Addition(search, what).of(misread, outcome) or ()  # type: ignore[arg-type]
        assert added == Example(name, offered, label)


def test_whatever_is_kept_need_not_be_near_and_is_asked_for_with_its_own_label(tmp_path: Path) -> None:
    for keep, reasons in (("any", [None]), ("same", ["length_ratio"])):
        (tmp_path / keep).mkdir()
        search, outcome = searched(tmp_path / keep, ["great"], keep=keep)  # type: ignore[arg-type]
        assert [attempt.reason for attempt in outcome.attempts] == reasons
        (request,) = search.generators[0][1].asked[0]  # type: ignore[attr-defined]
        assert (request.label, request.target) == (1, 1)


def test_several_copies_are_distinct_and_numbered(tmp_path: Path) -> None:
    offered = ["a good film for a warm day", "a warm film for a good day", "a good film for a good week"]
    search, outcome = searched(tmp_path, offered, keep="same", wanted=2)
    made = Addition(search, "copies", 2).of(GOLD, outcome) or []
    assert [one.id for one in made] == ["row 7~copy", "row 7~copy2"]
    assert len(set(texts(made))) == 2
    assert Addition(search, "copies", 4).of(GOLD, outcome) is None


def test_a_choosers_order_comes_first_and_the_usual_one_after_it(tmp_path: Path) -> None:
    offered = ["a awful film for a good day", "a good film for a awful day", "a awful film for a awful day"]
    search, outcome = searched(tmp_path, offered)
    addition = Addition(search, "flips")
    assert [attempt.input for attempt in addition.candidates(outcome)] == offered
    assert texts(addition.of(GOLD, outcome, order=[2, 0, 1])) == [offered[2]]
    assert texts(addition.of(GOLD, outcome, order=[])) == [offered[0]], "one that ranks none leaves the usual one"
    two = Addition(search, "flips", 2)
    assert texts(two.of(GOLD, outcome, order=[1])) == [offered[1], offered[0]]
    assert texts(two.of(GOLD, outcome, order=[2])) == offered[:2], "the first changes both words, and leaves no second"


def test_unlabelled_candidates_are_up_to_so_many(tmp_path: Path) -> None:
    offered = [f"a film of {number} days, no less than these" for number in range(3)]
    search, outcome = searched(tmp_path, offered, keep="any", wanted=3)
    rows = Addition(search, "texts", 2).unlabelled(GOLD, outcome)
    assert [(row.id, row.label) for row in rows] == [("row 7~new1", None), ("row 7~new2", None)]
    assert len(Addition(search, "texts", 9).unlabelled(GOLD, outcome)) == 3


def test_on_failure_fail_ends_a_run_that_lacks_the_second_too(tmp_path: Path) -> None:
    search, outcome = searched(tmp_path, ["a awful film for a good day"], wanted=2, on_failure="fail")
    with pytest.raises(CodrunError, match="no counterfactual was found for `row 7`"):
        Addition(search, "flips", 2).of(GOLD, outcome)


def test_a_candidate_like_an_evaluation_row_is_refused_and_the_search_goes_on(tmp_path: Path) -> None:
    held_out = NearDuplicates([Example("test:4", "a awful film for a good day", 0)])
    search, _ = searched(tmp_path, ["a awful film for a good day"], ["a good film for a awful day"])
    (outcome,) = replace(search, identity="another", outcomes={}, held_out=held_out).search([GOLD])
    assert [attempt.reason for attempt in outcome.attempts] == ["evaluation_row", None]
    assert outcome.counterfactual == "a good film for a awful day"


# --- what is counted --------------------------------------------------------------------------------------------------


class Asking:
    """Scores two texts of its own for each request, one for nobody in particular, and asks for a gradient."""

    rounds = 1

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        for request in requests:
            teacher.score([f"{request.input} once", f"{request.input} twice"], [request, request])
            teacher.attribution([request.input], [request.target])
        teacher.score(["a word list"])
        return [[Proposal("a awful film for a good day", usd=0.25)] for _ in requests]


def asking(folder: Path, generator: Generator) -> PairSearch:
    stored = OutcomeStore(folder / "pairs.sqlite")
    return PairSearch([("g", generator)], WordCountTeacher(), "t", Counterfactuals(generators=["x"]), None, stored)


def test_the_teachers_readings_are_counted_for_their_original_and_kept(tmp_path: Path) -> None:
    search = asking(tmp_path, Asking())
    (outcome,) = search.search([GOLD])
    read = [TEXT, f"{TEXT} once", f"{TEXT} twice", "a awful film for a good day"]
    assert outcome.queries == read
    assert (outcome.gradients, search.shared_queries) == (1, 1)
    again = asking(tmp_path, Scripted({}))
    assert again.search([GOLD]) == [outcome], "a stored outcome remembers"
    assert again.shared_queries == 1


def test_a_text_is_counted_once_however_often_it_is_asked_about(tmp_path: Path) -> None:
    class Twice(Asking):
        def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
            super().propose(requests, teacher)
            return super().propose(requests, teacher)

    search = asking(tmp_path, Twice())
    (outcome,) = search.search([GOLD])
    assert (len(outcome.queries), outcome.gradients, search.shared_queries) == (4, 2, 1)
