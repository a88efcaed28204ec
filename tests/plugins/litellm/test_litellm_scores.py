"""Log-probabilities and completions: what is sent, and that nothing odd in an answer loses what was paid for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Ledger, LLMAnswer, LLMRequest, ProviderError, Spending
from cod_runner.testing.llm_server import LLMServer, Reply, chat_logprobs, completion_logprobs
from codrun_litellm import dispatch
from codrun_litellm.client import Client
from codrun_litellm.options import LitellmOptions
from codrun_litellm.reading import read_response

NAN = float("nan")


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.01)


def chat(server: LLMServer, parameters: Mapping[str, Any], text: str = "a good film") -> LLMRequest:
    return LLMRequest("openai", "openai/local", server.api_base, (("user", text),), parameters, 0, "labels-v1")


def completion(
    server: LLMServer, parameters: Mapping[str, Any], text: str = "Review: a good film\nLabel:"
) -> LLMRequest:
    return LLMRequest("openai", "openai/local", server.api_base, (("prompt", text),), parameters, 0, "labels-v1")


def asked(store: Path, request: LLMRequest, spending: Spending | None = None, **options: Any) -> LLMAnswer:
    """The answer, which the ledger has too, with the same log-probabilities."""
    settings = LitellmOptions.model_validate({"model": request.model, "api_base": request.base or None, **options})
    ledger = Ledger.of_store(store)
    answer = Client(settings, ledger, spending or Spending(), offline=False).ask([request])[request.key]
    assert Ledger.of_store(store).answers([request.key]) == {request.key: answer}
    return answer


def test_a_chat_gives_log_probabilities_with_the_chosen_token_first(tmp_path: Path) -> None:
    likeliest = [{"B": -1.5, "A": -0.3, "C": -4.0}, {"\n": -0.1}]
    with LLMServer(lambda call: Reply("B\n", logprobs=chat_logprobs(likeliest))) as server:
        request = chat(server, {"max_tokens": 2, "logprobs": True, "top_logprobs": 5})
        answer = asked(tmp_path, request)
        assert {"logprobs": True, "top_logprobs": 5, "max_tokens": 2}.items() <= server.calls[0].body.items()
    assert answer.text == "B\n"
    assert answer.scores == ((("B", -1.5), ("A", -0.3), ("C", -4.0)), (("\n", -0.1),))
    assert answer.prompt_scores is None


def test_without_being_asked_for_them_nothing_changes(tmp_path: Path) -> None:
    with LLMServer(lambda call: "B") as server:
        assert asked(tmp_path, chat(server, {"max_tokens": 2})).scores is None
        assert "logprobs" not in server.calls[0].body


def test_a_text_is_continued_at_the_completion_endpoint(tmp_path: Path) -> None:
    likeliest = [{" positive": -0.2, " negative": -1.8}]
    reply = Reply(" positive", logprobs=completion_logprobs(likeliest), completion_tokens=1)
    with LLMServer(lambda call: reply) as server:
        request = completion(server, {"max_tokens": 1, "logprobs": 5, "temperature": 0.0, "stop": ["\n"], "seed": 3})
        answer = asked(tmp_path, request)
        (call,) = server.calls
    assert call.path == "/v1/completions" and call.body["model"] == "local"
    assert call.body["prompt"] == "Review: a good film\nLabel:" and "messages" not in call.body
    assert {"max_tokens": 1, "logprobs": 5, "temperature": 0.0, "stop": ["\n"], "seed": 3}.items() <= call.body.items()
    assert answer.text == " positive"
    assert answer.scores == (((" positive", -0.2), (" negative", -1.8)),)
    assert (answer.tokens_in, answer.tokens_out, answer.prompt_scores) == (10, 1, None)


@pytest.mark.parametrize("told", ["usage", "offsets", "nothing"])
def test_an_echoed_prompt_has_its_own_log_probabilities(tmp_path: Path, told: str) -> None:
    prompt = [("Review", None), (": good", -3.0), ("\nLabel:", -0.5)]
    logprobs = completion_logprobs([{" positive": -0.2, " negative": -1.8}], prompt)
    if told == "nothing":
        logprobs["text_offset"] = None
    with LLMServer(lambda c: Reply(" positive", logprobs=logprobs, completion_tokens=int(told == "usage"))) as server:
        request = completion(server, {"max_tokens": 1, "logprobs": 5, "echo": True}, "Review: good\nLabel:")
        answer = asked(tmp_path, request)
        assert server.calls[0].body["echo"] is True
    assert answer.text == " positive", "the prompt is not part of the answer"
    assert answer.prompt_scores == tuple(prompt)
    assert answer.scores == (((" positive", -0.2), (" negative", -1.8)),)


ENTRY = {
    "token": "A",
    "logprob": -0.1,
    "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3}],
}
LEGACY = {"tokens": ["A"], "token_logprobs": [-0.1], "top_logprobs": [{"A": -0.1, "B": -3}], "text_offset": [0]}
WANTED = ((("A", -0.1), ("B", -3.0)),)
JUNK = {
    "null": (None, None),
    "nothing": ({}, None),
    "a list": ([], None),
    "a list of numbers": ([1, 2], None),
    "text": ("withheld", None),
    "a number": (7, None),
    "no content": ({"content": None}, None),
    "empty content": ({"content": []}, None),
    "content of nulls": ({"content": [None, 3]}, None),
    "as it should be in a chat": ({"content": [ENTRY]}, WANTED),
    "as it should be in a completion": (LEGACY, WANTED),
    "no alternatives": ({"content": [{**ENTRY, "top_logprobs": None}]}, ((("A", -0.1),),)),
    "alternatives without the chosen": ({"content": [{**ENTRY, "top_logprobs": ENTRY["top_logprobs"][1:]}]}, WANTED),
    "alternatives in a mapping": ({"content": [{**ENTRY, "top_logprobs": {"A": -0.1, "B": -3}}]}, WANTED),
    "numbers as text": ({"content": [{"token": "A", "logprob": "-0.1", "top_logprobs": []}]}, ((("A", -0.1),),)),
    "words for numbers": ({"content": [{"token": "A", "logprob": "likely", "top_logprobs": []}]}, None),
    "truth for numbers": ({"content": [{"token": "A", "logprob": {"x": 1}, "top_logprobs": [True]}]}, None),
    "null tokens": ({"content": [{"token": None, "logprob": -1, "top_logprobs": [ENTRY]}]}, ((("A", -0.1),),)),
    "positive numbers": ({"content": [{"token": "A", "logprob": 0.5}]}, ((("A", 0.5),),)),
    "not a number": ({"content": [{**ENTRY, "logprob": NAN, "top_logprobs": [{"token": "B", "logprob": -3}]}]},
                     ((("B", -3.0),),)),
    "endless": ({"content": [{"token": "A", "logprob": float("-inf"), "top_logprobs": []}]}, None),
    "short lists": ({"tokens": ["A", "!"], "token_logprobs": [-0.1], "top_logprobs": [{"A": -0.1, "B": -3}]},
                    (*WANTED, ())),
    "words in lists": ({**LEGACY, "token_logprobs": ["x"]}, WANTED),
    "nulls in lists": ({**LEGACY, "top_logprobs": [None]}, ((("A", -0.1),),)),
    "lists of nulls": ({"tokens": [None], "token_logprobs": [None], "top_logprobs": None}, None),
    "no tokens": ({"token_logprobs": [-0.1], "top_logprobs": [{"A": -0.1}]}, None),
}  # fmt: skip


@pytest.mark.parametrize("make", [chat, completion])
def test_whatever_stands_for_log_probabilities_the_answer_is_kept_and_paid_for_once(tmp_path: Path, make: Any) -> None:
    given = dict(JUNK)
    with LLMServer(lambda call: Reply("A", logprobs=given[call.prompt][0])) as server:
        requests = {name: make(server, {"max_tokens": 1, "logprobs": 1}, name) for name in given}
        settings = LitellmOptions.model_validate({"model": "openai/local", "api_base": server.api_base})
        spending = Spending(run="r")
        client = Client(settings, Ledger.of_store(tmp_path, "r"), spending, offline=False)
        answers = client.ask(list(requests.values()))
        assert client.ask(list(requests.values())) == answers, "the ledger has them as they were"
        assert len(server.calls) == len(given)
    for name, (_, wanted) in given.items():
        answer = answers[requests[name].key]
        assert (answer.text, answer.tokens_in, answer.tokens_out) == ("A", 10, 5), name
        assert answer.scores == wanted, name
    assert spending.summary()["calls"] == Ledger.of_store(tmp_path, "r").spent().calls == len(given)


def test_a_key_that_is_echoed_in_tokens_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = "sk-planted-0123456789abcdef"  # not a real key
    monkeypatch.setenv("OPENAI_API_KEY", planted)
    logprobs = completion_logprobs([{planted: -0.1, f"other {planted}": -3}], [(planted, None)])
    with LLMServer(lambda call: Reply(planted, logprobs=logprobs, completion_tokens=1)) as server:
        answer = asked(tmp_path, completion(server, {"max_tokens": 1, "logprobs": 2, "echo": True}))
    assert answer.scores == ((("[key]", -0.1), ("other [key]", -3.0)),)
    assert answer.prompt_scores == (("[key]", None),)
    assert planted not in json.dumps(list(Ledger.of_store(tmp_path).rows()))


def test_a_failing_completion_is_retried_by_us_alone_and_a_permanent_one_ends_the_run(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply("busy", status=503) if call.number < 3 else Reply(" positive")) as server:
        assert asked(tmp_path, completion(server, {"max_tokens": 1})).text == " positive"
        assert len(server.calls) == 3
    with LLMServer(lambda call: Reply("no such model", status=404)) as server:
        with pytest.raises(ProviderError, match=r"was not found \(404\)"):
            asked(tmp_path, completion(server, {"max_tokens": 1}))
        assert len(server.calls) == 1


@pytest.mark.parametrize("model", ["anthropic/claude-3-5-haiku-20241022", "gemini/gemini-2.0-flash", "ollama/llama3"])
def test_a_provider_without_a_completion_endpoint_is_refused_before_anything_is_sent(
    tmp_path: Path, model: str
) -> None:
    request = LLMRequest(model.partition("/")[0], model, "", (("prompt", "x"),), {"max_tokens": 1}, 0, "v1")
    with pytest.raises(ProviderError, match=rf"`{model}` cannot be asked to continue a text: .* ask it as a chat"):
        asked(tmp_path, request)


@pytest.mark.parametrize(
    ("model", "variable", "key"),
    [
        ("openai/local", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
        ("gpt-3.5-turbo-instruct", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
        ("hosted_vllm/org/local", "HOSTED_VLLM_API_BASE", "HOSTED_VLLM_API_KEY"),
    ],
)
def test_completions_go_where_the_user_says_with_the_key_that_belongs_there_over_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, variable: str, key: str
) -> None:
    monkeypatch.setenv(key, "sk-planted-0123456789abcdef")  # not a real key
    with LLMServer(lambda call: Reply(" positive")) as server:
        monkeypatch.setenv(variable, server.api_base)
        settings = LitellmOptions.model_validate({"model": model, "concurrency": 1})
        requests = [LLMRequest("", model, "", (("prompt", f"{i}"),), {"max_tokens": 1}, 0, "v1") for i in range(3)]
        made = Client(settings, Ledger.of_store(tmp_path), Spending(), offline=False)
        assert len(made.ask(requests)) == 3
        assert {call.authorization for call in server.calls} == {"Bearer sk-planted-0123456789abcdef"}
        assert {call.path for call in server.calls} == {"/v1/completions"}
        assert len({call.port for call in server.calls}) == 1


def test_a_provider_that_takes_no_log_probabilities_is_asked_without_them(tmp_path: Path) -> None:
    """Where litellm knows that a model gives none, it would refuse the call; the answer then simply has none."""
    with LLMServer(lambda call: Reply("B")) as server:
        request = LLMRequest(
            "openai", "openai/o3", server.api_base, (("user", "x"),),
            {"max_tokens": 2, "logprobs": True, "top_logprobs": 5}, 0, "v1",
        )  # fmt: skip
        assert asked(tmp_path, request).scores is None
        assert "logprobs" not in server.calls[0].body


def test_a_budget_reserves_what_the_request_allows(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply("B", completion_tokens=1)) as server:
        asked(tmp_path, chat(server, {"max_tokens": 1}, "x"), Spending(tokens=20))
        with pytest.raises(ProviderError, match="budget `tokens: 20` has no room"):
            asked(tmp_path, chat(server, {"max_tokens": 100}, "x"), Spending(tokens=20))


def test_an_answer_that_is_longer_than_asked_for_is_cut_off_and_judged_so() -> None:
    """A server that ignores `max_tokens` must not fill the ledger."""
    request = LLMRequest("openai", "openai/local", "", (("user", "x"),), {"max_tokens": 2}, 0, "t")

    def read(text: str) -> tuple[str, str]:
        response = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
        answer = read_response(request, response, None, None)
        return answer.text, answer.finish

    assert read("a" * 128) == ("a" * 128, "stop")
    assert read("a" * 129) == ("a" * 128, "length")
