"""A teacher is compared with always answering the most frequent class, and what it is told is what it was measured."""

from __future__ import annotations

import pytest

from cod_runner.stages.chance import accuracy_in_words, warning_of_chance


def facts(accuracy: float, *counts: int, **more: object) -> dict[str, object]:
    return {"accuracy": accuracy, "rows_by_class": dict(zip(("food", "sport", "tech"), counts, strict=False)), **more}


def test_the_accuracy_is_said_beside_that_of_the_most_frequent_class() -> None:
    assert accuracy_in_words(facts(0.75, 3, 5, 4)) == (
        "the teacher labels 0.750 of 12 evaluation rows correctly; always answering `sport` would be right for 0.417"
    )


@pytest.mark.parametrize(
    ("accuracy", "counts", "warned"),
    [
        (0.5, (4, 4, 4), True),  # 6 of 12 by a third each: p = .18
        (7 / 12, (4, 4, 4), True),  # p = .066
        (8 / 12, (4, 4, 4), False),  # p = .019
        (0.6, (400, 400, 400), False),
        (0.9, (90, 10), True),  # right as often as the frequent class is
        (0.97, (90, 10), False),  # 97 of 100 by .9: p = .008
        (1.0, (12, 0), True),  # one class only shows nothing
    ],
)
def test_near_chance_is_what_the_most_frequent_class_may_reach(
    accuracy: float, counts: tuple[int, ...], warned: bool
) -> None:
    assert (warning_of_chance(facts(accuracy, *counts)) is not None) is warned


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        (
            {"finetuned": True},
            "raise `epochs` or `lr` of `teacher.finetune`, give it more rows, or take a larger model",
        ),
        ({"shots": 6}, "give it more `shots`, say in `describe` what the labels mean, or take a larger model"),
        (
            {"shots": 0},
            "if it is a language model, give it `shots`, say in `describe` what the labels mean, or take a larger one; "
            "if not, see what it says of a text of each label",
        ),
        ({}, "see that its labels are those of the data, in their order, or train it with `teacher.finetune`"),
    ],
)
def test_the_cure_is_one_that_the_teacher_has(more: dict[str, object], cure: str) -> None:
    found = warning_of_chance(facts(0.5, 4, 4, 4, **more))
    assert found == (
        "the teacher is near chance: it labels 0.500 of 12 evaluation rows correctly, and always answering `food` "
        "0.333 (p = 0.18 that so many are right by chance). Students learn what it says, and its flips mean little: "
        + cure
    )


def test_an_older_record_is_not_judged() -> None:
    assert warning_of_chance({}) is None and warning_of_chance({"accuracy": 0.5}) is None
