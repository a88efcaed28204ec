"""A checkpoint's classes are matched to the data set's by name, or refused."""

from __future__ import annotations

import pytest

from cod_runner.api import CodrunError
from codrun_transformers.labels import head_order

SENTIMENT = ("negative", "positive")


@pytest.mark.parametrize(
    ("own", "wanted", "label_map", "order"),
    [
        (SENTIMENT, SENTIMENT, {}, [0, 1]),
        (("POSITIVE", "NEGATIVE"), SENTIMENT, {}, [1, 0]),
        (("Not_Entailment", "entailment"), ("entailment", "not-entailment"), {}, [1, 0]),
        (("POS", "NEG"), SENTIMENT, {"positive": "POS", "negative": "NEG"}, [1, 0]),
        (("LABEL_0", "LABEL_1"), SENTIMENT, {"negative": "LABEL_1", "positive": "LABEL_0"}, [1, 0]),
        (("pos", "negative"), SENTIMENT, {"positive": "pos"}, [1, 0]),
        (("c", "a", "b"), ("a", "b", "c"), {}, [1, 2, 0]),
    ],
)
def test_names_match(
    own: tuple[str, ...], wanted: tuple[str, ...], label_map: dict[str, str], order: list[int]
) -> None:
    said: list[str] = []
    assert head_order(own, wanted, label_map, "m", said.append) == order
    assert said == []


def test_numbered_classes_are_taken_in_order_with_a_note() -> None:
    said: list[str] = []
    assert head_order(("LABEL_0", "LABEL_1"), SENTIMENT, {}, "some/model", said.append) == [0, 1]
    assert len(said) == 1 and "some/model" in said[0] and "negative, positive" in said[0]


@pytest.mark.parametrize(
    ("own", "label_map", "message"),
    [
        (
            ("good", "bad"),
            {},
            "good, bad, the data set negative, positive; match them with `label_map",
        ),
        (("positive", "Positive"), {}, "match them with `label_map"),
        (("entailment", "neutral", "contradiction"), {}, r"trained for 3 classes .* data set has 2 .*new_head: true"),
        (("good", "bad"), {"postive": "good"}, "`label_map` mentions `postive`"),
        (("good", "bad"), {"positive": "good", "negative": "good"}, "match them with `label_map"),
    ],
)
def test_names_that_do_not_match_are_refused(own: tuple[str, ...], label_map: dict[str, str], message: str) -> None:
    with pytest.raises(CodrunError, match=message):
        head_order(own, SENTIMENT, label_map, "some/model")
