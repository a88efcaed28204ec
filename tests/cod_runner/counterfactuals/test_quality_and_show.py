"""The measures, and how pairs look on the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from cod_runner.api import Attempt, CodrunError, Example, Input
from cod_runner.counterfactuals import PairOutcome, Quality, measured, quality_table
from cod_runner.counterfactuals.show import coloured_diff, show_pairs

LABELS = ("negative", "positive")


def flipped() -> PairOutcome:
    return PairOutcome(
        "a good old film", "a bad old film", 1, 0, 0, (0.2, 0.8), (0.7, 0.3), True, 1.0, 0.25, "g",
        (
            Attempt("a good old film", "g", 1, "identical"),
            Attempt("a warm old film", "g", 1, "not_flipped", (0.4, 0.6), 1.0),
            Attempt("a bad old film", "g", 1, None, (0.7, 0.3), 1.0),
        ),
    )  # fmt: skip


def failed() -> PairOutcome:
    return PairOutcome(
        "one great film", None, 1, 0, None, (0.1, 0.9), None, False, None, None, None,
        (
            Attempt("one warm day", "g", 1, "not_flipped", (0.3, 0.7), 2.0),
            Attempt("one great day", "g", 2, "not_flipped", (0.2, 0.8), 1.0),
        ),
    )  # fmt: skip


def test_the_table_counts_what_it_says() -> None:
    gold = [Example("a", "a good old film", 1), Example("b", "one great film", 0)]
    rows = {row.name: (row.all, row.flipped) for row in quality_table([flipped(), failed()], gold)}
    assert rows["originals searched"] == (2, 1)
    assert rows["yield (originals with a verified flip)"] == (0.5, None)
    assert rows["flip rate of candidates the teacher read"] == (0.25, None)
    assert rows["candidates refused unread"] == (0.2, None)
    assert rows["identical answers"] == (0.2, None)
    assert rows["answers that hold a candidate"] == (1, None)
    assert rows["edits"] == (1.5, 1.0)
    assert rows["minimality (edits / words)"] == pytest.approx(((0.25 + 2 / 3) / 2, 0.25))
    assert rows["probability change"] == pytest.approx(((0.5 + 0.2) / 2, 0.5))
    assert rows["boundary margin |p1 - p2|"] == pytest.approx((0.4, 0.4))
    # {a warm old film} and {a bad old film} share 3 of 5 words, {one warm day} and {one great day} 2 of 4
    assert rows["diversity of candidates"] == pytest.approx(((0.4 + 0.5) / 2, 0.4))
    assert rows["teacher agrees with gold"] == (0.5, 1.0)


def test_refusals_preambles_and_nothing_at_all_hold_no_candidate() -> None:
    reasons = ("refusal", "preamble_only", "empty", "identical", "too_many_edits")
    answers = tuple(Attempt(f"answer {reason}", "g", 1, reason) for reason in reasons)
    rows = {row.name: row.all for row in quality_table([replace(failed(), attempts=answers)])}
    assert rows["answers that hold a candidate"] == 0.4


class Longer:
    """A measure: characters gained; none for a text that speaks of a day."""

    title = "characters gained"

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        return [None if "day" in str(new) else float(len(str(new)) - len(str(old))) for old, new in pairs]


def test_a_measure_sees_the_best_candidate_of_each_original_once() -> None:
    other = replace(flipped(), original="a good film", verified=False)
    assert measured([flipped(), failed(), other], [Longer()]) == [Quality("characters gained", (-1 + 3) / 2, -1.0)]
    assert measured([failed()], [Longer()]) == [Quality("characters gained", None, None)]


def test_a_measure_that_leaves_pairs_out_is_named() -> None:
    class Lazy(Longer):
        def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
            return []

    with pytest.raises(CodrunError, match="`characters gained` gave 0 values for 1 pairs"):
        measured([flipped()], [Lazy()])


def test_unverified_answers_do_not_count_as_flips() -> None:
    taken = PairOutcome(
        "a good film", "a warm film", 1, 0, 0, (0.2, 0.8), (0.4, 0.6), False, 1.0, 1 / 3, "g",
        (Attempt("a warm film", "g", 1, None, (0.4, 0.6), 1.0),),
    )  # fmt: skip
    rows = {row.name: (row.all, row.flipped) for row in quality_table([taken])}
    assert rows["flip rate of candidates the teacher read"] == (0, None)
    assert rows["edits"] == (1.0, None)


def test_nothing_searched_is_no_division_by_zero() -> None:
    assert all(row.all in (None, 0) for row in quality_table([]))


@pytest.mark.parametrize(
    ("original", "changed", "wanted"),
    [
        ("a good film .", "a bad film .", "a [-good-]{+bad+} film ."),
        ("it is good .", "it is not good .", "it is {+not+} good ."),
        ("it isn't good", "it good", "it [-isn't-] good"),
        ("fine . . .", "fine , but dull . . .", "fine {+, but dull+} . . ."),
        ("Good.", "Bad!", "[-Good.-]{+Bad!+}"),
    ],
)
def test_the_diff_reads_without_colour(original: str, changed: str, wanted: str) -> None:
    assert coloured_diff(original, changed).plain == wanted


def line(**changes: Any) -> dict[str, Any]:
    return {
        "source_id": "r1", "original": "a good film", "counterfactual": "a bad film", "teacher_before": [0.2, 0.8],
        "teacher_after": [0.7, 0.3], "verified": True, "edits": 1.0, "generator": "g", "reasons": {"empty": 2},
        "attempts": [{"round": 1, "usd": 0.001}, {"round": 2, "usd": 0.002}], **changes,
    }  # fmt: skip


def shown(*lines: dict[str, Any]) -> str:
    file = io.StringIO()
    show_pairs(Console(file=file, width=200), lines, LABELS, quality_table([flipped()]))
    return file.getvalue()


def test_a_pair_shows_readings_generator_rounds_and_cost() -> None:
    text = shown(line())
    assert "a [-good-]{+bad+} film" in text
    assert "positive 0.80 -> negative 0.70, g, 1 edit, 2 tried in 2 rounds, $0.0030" in text
    assert "boundary margin" in text
    assert "NOT VERIFIED (empty x 2)" in shown(line(verified=False))


def test_a_failure_shows_its_reasons_and_a_vector_its_numbers() -> None:
    assert "no counterfactual: empty x 2" in shown(line(counterfactual=None, teacher_after=None))
    assert "(1, 0.333) -> (-1, 2)" in shown(line(original=[1.0, 1 / 3], counterfactual=[-1.0, 2.0]))


def test_markup_control_and_direction_characters_are_shown_not_obeyed() -> None:
    text = shown(line(original="[bold]a[/bold] \x1b[31mgood\x07 \u202efilm", counterfactual="[bold]a[/bold] bad"))
    assert "[bold]a[/bold]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31mgood\\x07" in text
    assert "\\u202efilm" in text


def test_a_very_long_text_is_cut() -> None:
    assert len(shown(line(original="word " * 10_000, counterfactual=None))) < 6_000
