"""The generator with a local server, through the real litellm: what is requested, paid for and recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from word_teacher import WordTeacher, asks, generator

from cod_runner.api import Attempt, CodrunError, Example, Ledger, Proposal, ProviderError, Request, Spending
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from codrun_litellm import client, dispatch
from codrun_litellm.pricing import Price

TEACHER = WordTeacher()


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.01)


def flip(call: Call) -> str:
    """A good answer: the text with `good` replaced by `bad`."""
    text = json.loads(call.prompt)["text"].replace("good", "bad")
    return json.dumps({"counterfactual": text})


def texts(proposals: list[list[Proposal]]) -> list[list[object]]:
    return [[proposal.input for proposal in of_request] for of_request in proposals]


def test_answers_are_in_the_order_of_the_requests_regardless_of_their_arrival(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply(flip(call), delay=0.02 * (call.number * 7 % 5))) as server:
        asked = asks(20)
        found = generator(tmp_path, server.api_base).propose(asked, TEACHER)
    assert texts(found) == [[f"a bad film number {i}"] for i in range(20)]
    assert found[0][0].usd is None, "a user's own server has no known price"


def test_requests_follow_the_options(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        made = generator(
            tmp_path, server.api_base, candidates=[1, 3], seed=7, max_tokens=99, temperature=0.1,
            warm_temperature=0.9, json_mode=True, parameters={"top_p": 0.5}, highlight=2,
        )  # fmt: skip
        assert made.rounds == 2
        made.propose(asks(1), TEACHER)
        second = Request("r0", "a good film number 0", 1, 0, round=2)
        assert len(made.propose([second], TEACHER)[0]) == 3
        assert made.propose([Request("r0", "a good film", 1, 0, round=3)], TEACHER) == [[]]
    first, *later = [call.body for call in server.calls]
    assert {"model": "local", "seed": 7, "max_tokens": 99, "temperature": 0.1, "top_p": 0.5}.items() <= first.items()
    assert first["response_format"] == {"type": "json_object"}
    assert json.loads(server.calls[0].prompt)["words_that_matter"] == ["good"]
    assert sorted(body["seed"] for body in later) == [7, 8, 9]
    assert {body["temperature"] for body in later} == {0.9}


def test_paraphrases_are_asked_for_again_until_there_are_enough(tmp_path: Path) -> None:
    """A later round is another question than the first, also where nothing failed, so that it brings another answer."""
    with LLMServer(lambda call: json.dumps({"rewritten": f"version {call.number}"})) as server:
        made = generator(tmp_path, server.api_base, prompt="paraphrase", candidates=[2, 2])
        first = made.propose([Request("r", "a good film", 1, 1)], TEACHER)
        history = tuple(Attempt(one.input, "litellm", 1, None, (0.1, 0.9)) for one in first[0])
        second = made.propose([Request("r", "a good film", 1, 1, round=2, history=history)], TEACHER)
    assert sorted(str(one.input) for one in [*first[0], *second[0]]) == [f"version {i}" for i in range(1, 5)]


@pytest.mark.parametrize(("prompt", "warned"), [("generic", 1), ("paraphrase", 0), ("in_domain", 0)])
def test_a_prompt_for_another_class_where_the_class_is_to_stay_is_warned_of_once(
    tmp_path: Path, prompt: str, warned: int
) -> None:
    said: list[str] = []
    with LLMServer(lambda call: json.dumps({"output": "another film"})) as server:
        made = generator(tmp_path, server.api_base, say=said.append, prompt=prompt)
        made.propose(asks(1), TEACHER)
        assert not said
        made.propose([Request("r", "a good film", 1, 1)], TEACHER)
        made.propose([Request("q", "a good song", 1, 1)], TEACHER)
    assert len(said) == warned
    assert all("`generic` asks for a text of another class" in one and "paraphrase" in one for one in said)


def test_repeated_requests_cost_nothing_in_the_same_and_another_generator(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        spending = Spending(run="first")
        made = generator(tmp_path, server.api_base, spending=spending)
        before = made.propose(asks(5), TEACHER)
        assert made.propose(asks(5)[::-1], TEACHER) == before[::-1]
        again = Spending(run="second")
        assert generator(tmp_path, server.api_base, spending=again, concurrency=3).propose(asks(7), TEACHER)
        assert len(server.calls) == 7
    assert spending.summary() == {"calls": 5, "tokens": 75, "usd": "unknown", "reused": 5}
    assert again.summary() == {"calls": 2, "tokens": 30, "usd": "unknown", "reused": 5}


def test_equal_requests_of_one_round_are_sent_once(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        found = generator(tmp_path, server.api_base).propose([*asks(1), *asks(1)], TEACHER)
        assert found[0] == found[1]
        assert len(server.calls) == 1


@pytest.mark.parametrize("changed", [{"temperature": 0.5}, {"seed": 1}, {"prompt": "topic"}, {"max_tokens": 9}])
def test_a_changed_request_is_paid_for_again(tmp_path: Path, changed: dict) -> None:
    with LLMServer(flip) as server:
        generator(tmp_path, server.api_base).propose(asks(1), TEACHER)
        generator(tmp_path, server.api_base, **changed).propose(asks(1), TEACHER)
        assert len(server.calls) == 2


def test_concurrency_bounds_the_calls_in_flight(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply(flip(call), delay=0.05)) as server:
        generator(tmp_path, server.api_base, concurrency=4).propose(asks(16), TEACHER)
        assert server.most_at_once == 4


def test_offline_answers_from_the_ledger_and_counts_what_is_missing(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        before = generator(tmp_path, server.api_base).propose(asks(3), TEACHER)
        base = server.api_base
    offline = generator(tmp_path, base, offline=True)
    assert offline.propose(asks(3), TEACHER) == before
    with pytest.raises(ProviderError, match="2 of 5 answers of `openai/local` are not in the ledger"):
        offline.propose(asks(5), TEACHER)


def test_an_export_is_a_ledger_for_someone_else(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        before = generator(tmp_path / "a", server.api_base).propose(asks(3), TEACHER)
        base = server.api_base
    (tmp_path / "b").mkdir()
    assert Ledger(tmp_path / "a" / "llm.sqlite").export(tmp_path / "shared.jsonl") == 3
    assert Ledger(tmp_path / "b" / "llm.sqlite").import_(tmp_path / "shared.jsonl") == (3, 0)
    assert generator(tmp_path / "b", base, offline=True).propose(asks(3), TEACHER) == before


def test_refused_filtered_truncated_and_empty_answers_are_answers(tmp_path: Path) -> None:
    replies = {
        0: Reply("I'm sorry, but I can't help with that."),
        1: Reply("The response was filtered: content_filter", status=400),
        2: Reply('{"counterfactual": "a bad fi', finish_reason="length"),
        3: Reply(""),
        4: Reply('```json\n{"counterfactual": "a bad film"}\n```'),
        5: Reply("un mauvais film"),
        6: Reply('{"counterfactual": "a good film number 6"}'),
    }
    with LLMServer(lambda call: replies[int(json.loads(call.prompt)["text"].split()[-1])]) as server:
        found = texts(generator(tmp_path, server.api_base).propose(asks(7), TEACHER))
        generator(tmp_path, server.api_base).propose(asks(7), TEACHER)
        assert len(server.calls) == 7
    assert found[0] == ["I'm sorry, but I can't help with that."]
    assert str(found[1][0]).startswith("I cannot help")
    assert found[2:4] == [[""], [""]]
    assert found[4:] == [["a bad film"], ["un mauvais film"], ["a good film number 6"]]


def test_untrusted_texts_are_sent_and_read_intact(tmp_path: Path) -> None:
    requests = [Request(f"u{i}", text, 1, 0) for i, text in enumerate(UNTRUSTED_TEXTS)]

    def echo(call: Call) -> str:
        return json.dumps({"counterfactual": json.loads(call.prompt)["text"]})

    with LLMServer(echo) as server:
        found = generator(tmp_path, server.api_base).propose(requests, TEACHER)
        assert texts(found) == [[text.strip()] for text in UNTRUSTED_TEXTS]
        assert generator(tmp_path, server.api_base, offline=True).propose(requests, TEACHER) == found
        half = generator(tmp_path, server.api_base).propose([Request("h", "half \ud83d pair", 1, 0)], TEACHER)
        assert texts(half) == [["half ? pair"]]


def test_demonstrations_are_verified_pairs_that_depend_on_the_seed_alone(tmp_path: Path) -> None:
    pool = [Example(f"p{i}", f"a {'good' if i % 2 else 'bad'} day number {i}", i % 2) for i in range(12)]

    def answer(call: Call) -> str:
        text = json.loads(call.prompt)["text"]
        if "day" in text and text.endswith(("1", "2")):
            return "something else entirely, and no flip good"
        turned = text.replace("good", "warm").replace("bad", "good").replace("warm", "bad")
        return json.dumps({"counterfactual": turned})

    with LLMServer(answer) as server:
        made = generator(tmp_path, server.api_base, demonstrations=2, pool=pool)
        made.propose(asks(2), TEACHER)
        made.propose(asks(3), TEACHER)
        about_films = [call.body["messages"] for call in server.calls if "film" in call.prompt]
        assert len(server.calls) == 4 + 3, "2 texts per demonstration, once"
        assert len(about_films) == 3
        for messages in about_films:
            assert len(messages) == 2 + 2 * 2
            shown = json.loads(messages[1]["content"])["text"], json.loads(messages[2]["content"])["counterfactual"]
            read = TEACHER.score(shown)
            assert read[0].index(max(read[0])) != read[1].index(max(read[1]))


def test_propose_works_inside_a_running_event_loop(tmp_path: Path) -> None:
    async def inside(api_base: str) -> list[list[Proposal]]:
        return generator(tmp_path, api_base).propose(asks(2), TEACHER)

    with LLMServer(flip) as server:
        assert texts(asyncio.run(inside(server.api_base))) == [["a bad film number 0"], ["a bad film number 1"]]


def test_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match="edits texts; this data set holds vectors"):
        generator(tmp_path, None, offline=True).propose([Request("v", (0.1, 0.2), 0, 1)], TEACHER)


# --- budgets --------------------------------------------------------------------------------------------------


def test_a_budget_of_calls_is_never_exceeded_and_earlier_calls_count(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply(flip(call), delay=0.02)) as server:
        made = generator(tmp_path, server.api_base, spending=Spending(calls=7, run="r"), concurrency=5)
        with pytest.raises(ProviderError, match=r"budget `calls: 7` has no room .* raise counterfactuals\.budget"):
            made.propose(asks(20), TEACHER)
        assert len(server.calls) == len(server.answered) == 7
        # a resume of the same run knows what it spent; another run does not
        with pytest.raises(ProviderError, match="has spent 7 calls"):
            generator(tmp_path, server.api_base, spending=Spending(calls=7, run="r")).propose(asks(20), TEACHER)
        assert len(server.calls) == 7
        resumed = Spending(calls=20, run="r")
        generator(tmp_path, server.api_base, spending=resumed).propose(asks(20), TEACHER)
        assert len(server.calls) == 20
        assert resumed.summary()["calls"] == 20


def test_a_budget_exactly_as_large_as_needed_suffices(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply(flip(call), delay=0.01)) as server:
        generator(tmp_path, server.api_base, spending=Spending(calls=12)).propose(asks(12), TEACHER)
        assert len(server.calls) == 12


def test_a_budget_of_tokens_limits_the_calls_in_flight(tmp_path: Path) -> None:
    spending = Spending(tokens=1200)
    with LLMServer(lambda call: Reply(flip(call), delay=0.02, prompt_tokens=300, completion_tokens=20)) as server:
        made = generator(tmp_path, server.api_base, spending=spending, max_tokens=100)
        with pytest.raises(ProviderError, match="budget `tokens: 1200` has no room for a call of up to"):
            made.propose(asks(10), TEACHER)
        assert 1 <= len(server.calls) <= 3
        assert server.most_at_once < 3
    assert spending.summary()["tokens"] <= 1200


def test_usd_are_counted_for_priced_models_and_shared_by_all_generators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "price_of", lambda model, base: Price(1e-6, 2e-6))
    spending = Spending(usd=0.01)
    with LLMServer(lambda call: Reply(flip(call), prompt_tokens=1000, completion_tokens=100)) as server:
        one = generator(tmp_path, server.api_base, spending=spending)
        other = generator(tmp_path, server.api_base, spending=spending, prompt="topic")
        found = one.propose(asks(2), TEACHER)
        assert found[0][0].usd == pytest.approx(0.0012)
        with pytest.raises(ProviderError, match=r"budget `usd: 0\.01`"):
            other.propose(asks(20), TEACHER)
    summary = spending.summary()
    assert summary["usd"] == pytest.approx(0.0012 * summary["calls"])
    assert summary["usd"] <= 0.01
    assert generator(tmp_path, server.api_base, offline=True).propose(asks(1), TEACHER)[0][0].usd == found[0][0].usd


def test_a_usd_budget_alone_is_refused_before_any_call(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match="price of `openai/local` is unknown"):
        generator(tmp_path, "http://127.0.0.1:9/v1", spending=Spending(usd=1.0), offline=True)


def test_labels_of_every_kind_are_data(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        made = generator(tmp_path, server.api_base, labels=('quote"d', "{brace}"))
        made.propose(asks(1), TEACHER)
        assert json.loads(server.calls[0].prompt)["class"] == "{brace}"
