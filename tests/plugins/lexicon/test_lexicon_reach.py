"""The generator `lexicon` on texts that are longer than what the teacher reads."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cod_runner.api import Attribution, BuildContext, Example, Input, Request
from codrun_lexicon.generator import Lexicon
from codrun_lexicon.options import LexiconOptions
from codrun_lexicon.reach import UNREAD, Reach, Told
from codrun_lexicon.text import Change, Edit
from codrun_lexicon.valence import vader

LABELS = ("negative", "positive")
WORD = re.compile(r"\w+|[^\w\s]")
POOL = [Example("a", "a good film with a warm heart", 1), Example("b", "a bad film and a dull plot", 0)] * 3


class ShortSighted:
    """Sums the valences of the first ``reads`` words; the others have attributions of 0, as with a real teacher."""

    labels = LABELS

    def __init__(self, reads: int) -> None:
        self.asked = 0
        self._reads = reads

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        self.asked += len(inputs)
        found: list[tuple[float, ...]] = []
        for text in inputs:
            words = islice(WORD.finditer(str(text)), self._reads)
            total = sum(vader().get(word[0], 0.01) for word in words)
            positive = 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))
            found.append((1 - positive, positive))
        return found

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return [
            [
                Attribution(*found.span(), vader().get(found[0], 0.01) * (1 if target else -1) * (place < self._reads))
                for place, found in enumerate(WORD.finditer(str(text)))
            ]
            for text, target in zip(inputs, targets, strict=True)
        ]

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        return [() for _ in words]


def propose(text: str, reads: int = 40) -> list[str]:
    teacher: Any = ShortSighted(reads)
    lexicon = Lexicon(LexiconOptions(), BuildContext(labels=LABELS, pool=POOL))
    return [str(one.input) for one in lexicon.propose([Request("a", text, 1, 0)], teacher)[0]]


def test_a_text_of_twenty_thousand_words_takes_no_longer_than_what_the_teacher_reads_of_it() -> None:
    text = "a good film with a great heart , not dull and not bad . " * 1_500
    started = time.process_time()
    proposals = propose(text)
    assert time.process_time() - started < 10
    assert proposals
    for changed in proposals:
        assert changed[-1_000:] == text[-1_000:]


def test_spaces_without_end_take_no_time() -> None:
    started = time.process_time()
    propose("a good film " + " " * 100_000 + " , great", reads=10**6)
    assert time.process_time() - started < 10


def test_a_text_is_looked_at_as_a_whole_unless_it_is_much_longer_than_what_is_read() -> None:
    read, unread = Attribution(0, 4, 0.5), Attribution(5, 9, 0.0)
    whole = "good film" + "x" * (UNREAD - 5)
    assert Reach.of(whole, [read, unread]) == Reach(whole, len(whole))
    assert Reach.of(whole + "x", [read, unread]) == Reach(whole, 4 + UNREAD // 2)
    assert Reach.of(whole + "x", []).text == whole + "x"


spans = st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda span: (span[0], span[0] + span[1]))


@given(
    st.lists(st.tuples(spans, st.sampled_from([-1.0, 0.0, 0.25, 2.0])), max_size=12),
    st.lists(spans, min_size=1, max_size=3),
)
def test_the_words_beside_an_edit_are_found_as_by_looking_at_each(
    parts: list[tuple[tuple[int, int], float]], changes: list[tuple[int, int]]
) -> None:
    attribution = [Attribution(start, end, score) for (start, end), score in parts]
    beside = [
        part.score for part in attribution for start, end in changes if part.start <= end + 1 and start <= part.end + 1
    ]
    edit = Edit(tuple(Change(start, end, "") for start, end in changes), 0)
    assert Told(attribution).by(edit) == max(beside, default=0.0)
