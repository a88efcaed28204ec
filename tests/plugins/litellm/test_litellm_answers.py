from __future__ import annotations

import json
import time

import pytest

from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from codrun_litellm.answers import read_answer

ORIGINAL = "a good film"
EDITED = "a bad film"


@pytest.mark.parametrize(
    "answer",
    [
        '{"counterfactual": "a bad film"}',
        '```json\n{"counterfactual": "a bad film"}\n```',
        '```\n{"counterfactual": "a bad film"}\n```\nI changed one word.',
        'Sure! Here is the JSON:\n{"counterfactual": "a bad film"}\nHope this helps {smile}',
        'Sure, {like this}:\n```json\n{"counterfactual": "a bad film"}\n```',
        '{"original": "a good film", "counterfactual": "a bad film"}',
        '{"Counterfactual": "a bad film",}'.replace(",}", "}"),
        "{'counterfactual': 'a bad film',}",
        '{"new_sentence": "a bad film"}',
        '["a bad film"]',
        '"a bad film"',
        '{"counterfactual": "a\nbad film"}',
        '{"counterfactual": "\\"a bad film\\""}',
        "<counterfactual>a bad film</counterfactual>",
        "Here you go.\n<counterfactual>\n  a bad\n  film\n</counterfactual>\nDone.",
        "<think>They want {\"counterfactual\": \"no\"}</think>\n\na bad film",
        "a bad film",
        "'a bad film'",
        "“a bad film”",
        "**a bad film**",
        "Here is the rewritten text:\n\na bad film",
        "Sure! Here's the edited sentence: a bad film",
        "Counterfactual: a bad film",
        "a bad film\n\nNote: I replaced \"good\" by \"bad\".",
        "a bad film\n\nThis keeps the style.",
    ],
)  # fmt: skip
def test_every_form_of_one_answer_gives_the_same_candidate(answer: str) -> None:
    assert read_answer(answer, ORIGINAL) == EDITED


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n",
        '{"counterfactual": "a bad',
        '```json\n{"counterfactual": "a b',
        "<think>no end",
        '{"counterfactual": 3}',
    ],
)
def test_an_answer_without_a_candidate_is_empty(answer: str) -> None:
    assert read_answer(answer, ORIGINAL) == ""


def test_refusals_and_bare_preambles_are_passed_on_unchanged() -> None:
    refusal = "I'm sorry, but I can't help with that."
    assert read_answer(refusal, ORIGINAL) == refusal
    assert read_answer("Here is the rewritten text:", ORIGINAL) == "Here is the rewritten text:"


def test_parts_of_the_text_itself_are_preserved() -> None:
    assert read_answer('"good" film', '"bad" film') == '"good" film'
    assert read_answer('"It was bad"', '"It was good"') == '"It was bad"'
    assert read_answer("the result is a bad film: dull", "the result is a good film: fun").endswith("film: dull")
    assert read_answer("one\n\ntwo bad", "one\n\ntwo good") == "one\n\ntwo bad"
    assert read_answer("one\n\ntwo bad\n\nNote: changed.", "one\n\ntwo good") == "one\n\ntwo bad"
    assert read_answer("ok film: a bad one", "ok film: a good one") == "ok film: a bad one"


@pytest.mark.parametrize("text", UNTRUSTED_TEXTS, ids=lambda text: ascii(text[:20]))
def test_untrusted_text_is_read_intact_from_json(text: str) -> None:
    assert read_answer(json.dumps({"counterfactual": text}), text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{" * 100_000,
        "{'a':" * 50_000,
        "<text>" * 20_000,
        "a" + " \n" * 100_000 + "b",
        "here is " * 50_000,
        "<think>" * 20_000,
        "```\n" * 50_000,
        '{"' + "x" * 300_000,
    ],
)
def test_hostile_answers_end_quickly(text: str) -> None:
    for original in (ORIGINAL, "two\nlines"):
        started = time.process_time()
        assert isinstance(read_answer(text, original), str)
        assert time.process_time() - started < 2
