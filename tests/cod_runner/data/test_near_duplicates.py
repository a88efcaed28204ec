"""Which made-up texts are too near to a row that is evaluated on."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from cod_runner.api import Example
from cod_runner.data.near_duplicates import FEWEST_WORDS, SHARE_OF_WORDS, NearDuplicates

LONG = "the story is told with a warm heart by people who know what they want to say and when to stop saying it"
ROWS = [
    Example("e:1", "A good film, with a warm heart.", 1),
    Example("e:2", LONG, 1),
    Example("e:3", "not good", 0),
    Example("e:4", "!!!", 0),
    Example("e:5", "it doesn't work at all", 0),
]
HELD_OUT = NearDuplicates(ROWS)
OTHER = "an original that is like none of them"


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("A good film, with a warm heart.", "e:1"),
        ("a GOOD film\twith  a warm heart", "e:1"),
        ("a bad film with a warm heart", "e:1"),
        ("a good film with a heart", "e:1"),
        ("a very good film with a warm heart !", "e:1"),
        ("a very bad film with a warm heart", None),
        (LONG.replace("warm", "cold"), "e:2"),
        (LONG.replace("warm", "cold").replace("people", "men"), "e:2"),
        (LONG.replace("warm", "cold").replace("people", "men").replace("told", "sold"), None),
        ("Not good!", "e:3"),
        ("very good", None),
        ("not", None),
        ("!!!", "e:4"),
        ("???", None),
        ("It doesn’t work at all", "e:5"),
        ("it works", None),
        ("", None),
    ],
)
def test_equal_texts_and_near_ones_are_named(text: str, row: str | None) -> None:
    assert HELD_OUT.nearest(text, OTHER) == row


def test_what_the_data_itself_has_that_near_is_allowed() -> None:
    original = "a bad film with a warm heart"
    assert HELD_OUT.nearest("a poor film with a warm heart", original) is None
    assert HELD_OUT.nearest("A good film with a warm heart", original) == "e:1"
    assert HELD_OUT.nearest("NOT GOOD", "not good") is None


def test_of_several_the_nearest_is_named() -> None:
    rows = [Example("far", "one two three four five six", 0), Example("near", "one two three four five seven", 0)]
    assert NearDuplicates(rows).nearest("one two three four five seven", OTHER) == "near"
    assert NearDuplicates(rows[::-1]).nearest("one two three four five eight", OTHER) == "far"


def test_vectors_are_compared_whole() -> None:
    held_out = NearDuplicates([Example("v", (0.0, 1.0), 0)])
    assert held_out.nearest((0.0, 1.0), (0.0, 0.0)) == "v"
    assert held_out.nearest((0.0, 1.1), (0.0, 0.0)) is None


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein, in the plainest way."""
    row = list(range(len(other) + 1))
    for number, word in enumerate(one, start=1):
        diagonal, row[0] = row[0], number
        for place, against in enumerate(other, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != against))
    return row[-1]


def test_the_index_misses_nothing_and_adds_nothing() -> None:
    rng = random.Random(0)
    words = "a b c d e f".split()
    rows = [rng.choices(words, k=rng.randint(FEWEST_WORDS, 32)) for _ in range(40)]
    held_out = NearDuplicates([Example(str(number), " ".join(row), 0) for number, row in enumerate(rows)])
    refused = 0
    for _ in range(200):
        text = list(rng.choice(rows))
        for _ in range(rng.randint(0, 5)):
            place = rng.randrange(len(text) + 1)
            text[place : place + rng.randint(0, 1)] = rng.choices(words, k=rng.randint(0, 1))
        near = [apart for row in rows if (apart := distance(text, row)) <= max(1, int(SHARE_OF_WORDS * len(row)))]
        found = held_out.nearest(" ".join(text), OTHER)
        assert (found is None) == (not near)
        if found is not None:
            assert distance(text, rows[int(found)]) == min(near)
            refused += 1
    assert 50 < refused < 200


def test_ten_thousand_candidates_against_two_thousand_rows_take_seconds() -> None:
    rng = random.Random(0)
    words = [f"w{rng.randrange(60) if rng.random() < 0.5 else rng.randrange(5_000)}" for _ in range(50_000)]
    rows = [words[start : start + rng.randint(5, 40)] for start in range(0, 50_000, 25)]
    held_out = NearDuplicates([Example(str(number), " ".join(row), 0) for number, row in enumerate(rows)])
    candidates = [" ".join(rng.sample(rng.choice(rows), 5) + rng.choice(rows)) for _ in range(2_000)]
    started = time.process_time()
    for text in candidates * 5:
        held_out.nearest(text, OTHER)
    assert time.process_time() - started < 10
