"""Word-level edit distance."""

from __future__ import annotations

import random

import pytest

from cod_runner.word_edits import edit_distance, tokens


def by_the_table(before: tuple[str, ...], after: tuple[str, ...]) -> int:
    """Wagner and Fischer's table, the definition itself."""
    row = list(range(len(after) + 1))
    for place, word in enumerate(before, start=1):
        previous, row = row, [place]
        for column, other in enumerate(after, start=1):
            row.append(min(previous[column] + 1, row[-1] + 1, previous[column - 1] + (word != other)))
    return row[-1]


def test_tokens_are_words_and_marks() -> None:
    assert tokens("It isn't  bad, no?!\n") == ("It", "isn't", "bad", ",", "no", "?", "!")
    assert tokens("") == tokens(" \t") == ()


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("a fine film", "a fine film", 0),
        ("a fine film", "a dull film", 1),
        ("a fine film", "a film", 1),
        ("it is fine", "it is not fine .", 2),
        ("", "not empty", 2),
        ("a b c d", "d c b a", 4),
        ("a b c", "", 3),
    ],
)
def test_by_hand(before: str, after: str, edits: int) -> None:
    assert edit_distance(tokens(before), tokens(after)) == edits
    assert edit_distance(tokens(after), tokens(before)) == edits


@pytest.mark.parametrize(
    "alphabet", [tuple("abcde"), ("", "a", "é", "don't", "😀", "word"), tuple(map(str, range(40)))]
)
def test_equal_to_the_definition_on_random_texts(alphabet: tuple[str, ...]) -> None:
    drawn = random.Random(0)
    for _ in range(1000):
        before = tuple(drawn.choices(alphabet, k=drawn.randrange(14)))
        after = tuple(drawn.choices(alphabet, k=drawn.randrange(14)))
        assert edit_distance(before, after) == by_the_table(before, after), (before, after)
    long = tuple(drawn.choice(alphabet) for _ in range(300))
    changed = tuple(drawn.choice((word, word, word, "new")) for word in long if drawn.random() > 0.1)
    assert edit_distance(long, changed) == by_the_table(long, changed)
    assert type(edit_distance(long, changed)) is int


def test_one_changed_word_of_a_long_text_is_one_edit() -> None:
    words = [f"word{place}" for place in range(256)]
    for place in range(250):
        changed = [*words[:place], "other", *words[place + 1 :]]
        assert edit_distance(tokens(" ".join(words)), tokens(" ".join(changed))) == 1
