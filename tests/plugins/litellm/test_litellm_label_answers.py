"""Reading which label an answer names."""

from __future__ import annotations

import pytest

from codrun_litellm.label_answers import named_label

NAMES = ("negative", "positive", "very positive", "Sci/Tech (news)")
LETTERS = ("C", "A", "B", "D")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("negative", 0),
        ("  Positive.\n", 1),
        ("**POSITIVE**", 1),
        ('"negative"', 0),
        ("very positive", 2),
        ("Sci/Tech (news)", 3),
        ("sci/tech (news).", 3),
        ("A", 1),
        ("(C)", 0),
        ("a)", 1),
        ("**B**", 2),
        ("C: negative", 0),
        ("B. very positive", 2),
        ("A: negative", 0),  # the word says it where letter and word differ
        ("Label: positive", 1),
        ("The label is **negative**.", 0),
        ("Answer: C", 0),
        ("It is not positive; the answer is negative.", 0),
        ("The text is negative.", 0),
        ("The review is not positive at all, it is negative", 0),
        ('{"label": "positive"}', 1),
        ('```json\n{"answer": "C", "reason": "it is not positive"}\n```', 0),
        ("Here you are: {'label': 'x'} or so: positive", 1),
        ('["negative"]', 0),
        ("<think>positive? or negative? A!</think>\n\nvery positive", 2),
        ("it could be positive</think>negative", 0),
        ("<think>it is positive", None),
        ("Let me think about positive and negative words.\nThe first is good.\n\nFinal answer: negative", 0),
        ("positive or negative", None),
        ("I cannot label this text.", None),
        ("A positive review", 1),
        ("A negative review", 0),
        ("E", None),
        ("", None),
        ("   \n\n", None),
        ("[" * 5000, None),
        ("positively", None),
        ("x" * 100_000 + "\nnegative", 0),
    ],
)
def test_an_answer_names_the_label_that_a_reader_would_see(text: str, label: int | None) -> None:
    assert named_label(text, NAMES, LETTERS) == label


def test_a_letter_counts_only_where_letters_were_listed() -> None:
    assert named_label("A", NAMES) is None
    assert named_label("A", ("A", "B")) == 0
