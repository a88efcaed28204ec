"""The generator of the arm `control`."""

from __future__ import annotations

import pytest

from cod_runner.api import BuildContext, DataError, Request
from codrun_word_dropout.generator import WordDropout
from codrun_word_dropout.plugin import WordDropoutOptions

TEXT = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


def copies(texts: list[str], number: int = 1, share: float = 0.15) -> list[list[str]]:
    generator = WordDropout(WordDropoutOptions(share=share), BuildContext())
    requests = [Request(str(place), text, 1, 1, round=number) for place, text in enumerate(texts)]
    return [[str(one.input) for one in offered] for offered in generator.propose(requests, None)]  # type: ignore[arg-type]


def test_it_omits_the_share_of_words_and_preserves_their_order() -> None:
    [[copy]] = copies([TEXT], share=0.25)
    words = TEXT.split()
    left = copy.split()
    assert len(left) == 12
    assert left == [word for word in words if word in left]


def test_a_copy_depends_only_on_text_and_round() -> None:
    assert copies([TEXT, "a b c"])[0] == copies(["x y", TEXT])[1]
    assert copies([TEXT], number=2) != copies([TEXT], number=1)


@pytest.mark.parametrize(("text", "words"), [("so bad", 1), ("so very bad", 2)])
def test_at_least_one_word_is_omitted_and_one_stays(text: str, words: int) -> None:
    assert len(copies([text])[0][0].split()) == words
    assert len(copies([text], share=0.99)[0][0].split()) == 1


def test_a_text_of_one_word_has_no_copy() -> None:
    assert copies(["bad"]) == [[]]


def test_inputs_that_are_not_texts_are_refused() -> None:
    generator = WordDropout(WordDropoutOptions(), BuildContext())
    with pytest.raises(DataError, match="not texts"):
        generator.propose([Request("0", (0.0, 1.0), 0, 0)], None)  # type: ignore[arg-type]
