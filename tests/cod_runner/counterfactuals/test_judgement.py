"""Why candidates are refused."""

from __future__ import annotations

import pytest
from word_count_teacher import WordCountTeacher

from cod_runner.api import Example, Request
from cod_runner.counterfactuals.judgement import Reason, refused_by_teacher, refused_unasked
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.recipe.grammar import Counterfactuals

SETTINGS = Counterfactuals(generators=["lexicon"])
ORIGINAL = "a good film with a story that keeps you awake"


def reason(candidate: str, original: str = ORIGINAL, tried: tuple[str, ...] = ()) -> Reason | None:
    teacher = WordCountTeacher()
    return refused_unasked(candidate, Request("a", original, 1, 0), tried, teacher, SETTINGS)


@pytest.mark.parametrize(
    ("candidate", "wanted"),
    [
        ("a bad film with a story that keeps you awake", None),
        ("", Reason.EMPTY),
        (" ... ", Reason.EMPTY),
        ("A GOOD film  with a story that keeps you awake\n", Reason.IDENTICAL),
        ("I'm sorry, but I can't help with that request, it is not mine", Reason.REFUSAL),
        ("As an AI language model, I would rather not change this text", Reason.REFUSAL),
        ("I’m unable to rewrite this review for you in that way", Reason.REFUSAL),
        ("Sure, here is the rewritten sentence that you wanted:", Reason.PREAMBLE_ONLY),
        ("Here's a modified version of the review", Reason.PREAMBLE_ONLY),
        ("sure , it's a bad film with a story that keeps you awake", None),
        ("i can't help a bad film with a story that keeps you awake", Reason.REFUSAL),
        ("i can't help but see a bad film with a story that keeps you awake", None),
        ("a bad film with a negative story that keeps you awake", Reason.LABEL_WORD),
        ("bad", Reason.LENGTH_RATIO),
        ("a bad film " * 20, Reason.LENGTH_RATIO),
        ("nothing of what he says here was ever worth knowing", Reason.TOO_MANY_EDITS),
    ],
)
def test_each_reason(candidate: str, wanted: Reason | None) -> None:
    assert reason(candidate) == wanted


def test_a_text_that_only_moves_white_space_is_the_original() -> None:
    assert reason("a film , good", "a film, good") == Reason.IDENTICAL


def test_what_was_tried_is_a_duplicate_in_any_case() -> None:
    changed = ORIGINAL.replace("good", "bad")
    assert reason(changed.upper(), tried=(changed,)) == Reason.DUPLICATE


def test_a_label_word_of_the_original_is_no_leak() -> None:
    original = "a positive and good film with a story"
    assert reason("a positive and bad film with a story", original) is None


def test_a_sentence_that_reads_like_a_refusal_may_be_edited() -> None:
    original = "i'm sorry, i can't call this a good film"
    assert reason("i'm sorry, i can't call this a bad film", original) is None


def test_vectors_are_refused_only_where_nothing_moved() -> None:
    teacher = WordCountTeacher()
    request = Request("a", (1.0, 2.0), 1, 0)
    assert refused_unasked((1.0, 2.0), request, (), teacher, SETTINGS) == Reason.IDENTICAL
    assert refused_unasked((50.0, 2.0), request, (), teacher, SETTINGS) is None


def test_the_teachers_verdict() -> None:
    request = Request("a", "x", label=0, target=1)
    assert refused_by_teacher((0.1, 0.7, 0.2), request, any_other=False) is None
    assert refused_by_teacher((0.8, 0.1, 0.1), request, any_other=False) == Reason.NOT_FLIPPED
    assert refused_by_teacher((0.2, 0.1, 0.7), request, any_other=False) == Reason.WRONG_CLASS
    assert refused_by_teacher((0.2, 0.1, 0.7), request, any_other=True) is None


def test_a_flip_must_lie_as_far_past_the_boundary_as_is_asked_for() -> None:
    request = Request("a", "x", label=0, target=1)
    assert refused_by_teacher((0.4, 0.6), request, any_other=False, margin=0.3) == Reason.TOO_NEAR
    assert refused_by_teacher((0.25, 0.75), request, any_other=False, margin=0.3) is None


def test_without_limits_a_text_may_be_as_far_away_as_it_likes() -> None:
    request = Request("a", ORIGINAL, 1, 1)
    for far in ("bad", "nothing of what he says here was ever worth knowing"):
        assert refused_unasked(far, request, (), WordCountTeacher(), SETTINGS) is not None
        assert refused_unasked(far, request, (), WordCountTeacher(), None) is None
    assert refused_unasked(ORIGINAL.upper(), request, (), WordCountTeacher(), None) == Reason.IDENTICAL


def test_a_row_that_students_are_measured_on_is_refused_by_name() -> None:
    changed = ORIGINAL.replace("good", "bad")
    held_out = NearDuplicates([Example("test:1", changed, 0)])
    request = Request("a", ORIGINAL.replace("with a story", "with two stories"), 1, 0)
    for candidate in (changed, f"{changed} !"):
        refused = refused_unasked(candidate, request, (), WordCountTeacher(), SETTINGS, held_out)
        assert refused == Reason.EVALUATION_ROW == "evaluation_row"
    assert refused_unasked("an awful film", Request("b", "a good film", 1, 0), (), WordCountTeacher(), SETTINGS) is None
