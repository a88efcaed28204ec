"""Inputs of every kind: told apart by content, and the same after a way through JSON."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from cod_runner.api import Input, Mixture, input_as_json, input_from_json
from cod_runner.engine.teacher_signals import input_key

INPUTS: list[Input] = [
    "a film",
    "",
    "[1.0, 2.0]",
    '{"first": "a", "second": "b", "share": 0.5}',
    (1.0, 2.0),
    (1.0,),
    Mixture("a", "b", 0.5),
    Mixture("b", "a", 0.5),
    Mixture("a", "b", math.nextafter(0.5, 1)),
    Mixture("a, b", "", 0.5),
    Mixture("", "a, b", 0.5),
    Mixture('a", "b', "c", 0.5),
    Mixture("a", 'b", "c', 0.5),
    Mixture("\ud800", "b", 1.0),
]


def test_different_inputs_have_different_keys_and_different_spellings() -> None:
    for one, other in itertools.combinations(INPUTS, 2):
        assert input_key(one) != input_key(other), (one, other)
        assert json.dumps(input_as_json(one)) != json.dumps(input_as_json(other)), (one, other)


def test_the_keys_of_texts_and_vectors_are_those_of_stored_signals() -> None:
    """From the commit before there were mixtures: another key would ask every teacher again."""
    assert input_key("a film").hex() == "d1ccde3b5072b5ed28e08ab9491f43fd"
    assert input_key((1, 2.5)).hex() == "808e2ddb32d679501777143e0df2d6fd"


@pytest.mark.parametrize("value", INPUTS, ids=repr)
def test_json_gives_an_input_back(value: Input) -> None:
    assert input_from_json(json.loads(json.dumps(input_as_json(value)))) == value


def test_a_share_that_is_a_whole_number_is_the_same_share() -> None:
    assert input_key(Mixture("a", "b", 1)) == input_key(Mixture("a", "b", 1.0))
    assert input_as_json(Mixture("a", "b", 1)) == {"first": "a", "second": "b", "share": 1.0}


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        True,
        [1.0, "2"],
        [True],
        {},
        {"first": "a", "second": "b"},
        {"first": "a", "second": 2, "share": 0.5},
        {"first": "a", "second": "b", "share": "0.5"},
        {"first": "a", "second": "b", "share": True},
        {"first": "a", "second": "b", "share": 1.5},
        {"first": "a", "second": "b", "share": math.nan},
        {"first": "a", "second": "b", "share": 0.5, "third": "c"},
    ],
    ids=repr,
)
def test_what_is_no_input_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"no text, no vector|from 0 to 1"):
        input_from_json(value)
