"""The teacher `litellm` with servers that give or withhold log-probabilities in their own ways: what it does, and what
it says."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from label_server import (
    LABELS,
    TEXTS,
    in_words,
    logs,
    opinion,
    positive,
    proper,
    raw_chat,
    shares,
    silent,
    softmax,
    spelled,
    teacher,
    text_asked,
)

from cod_runner.api import CodrunError, ProviderError, SettingError
from cod_runner.testing.llm_server import Call, LLMServer, Reply, chat_logprobs, completion_logprobs
from codrun_litellm import dispatch


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.001)


Answer = Callable[[Call], Reply]


def chat_only(answer: Answer) -> Answer:
    return lambda call: Reply("no such path", status=404) if call.is_completion else answer(call)


def only_without_logprobs(words: str, status: int = 400) -> Answer:
    """Refuses every call that asks for log-probabilities."""
    return lambda call: Reply(words, status=status) if "logprobs" in call.body else Reply(in_words(call))


def odd_forms(call: Call) -> Reply:
    """Spreads each letter over the forms in which models write it."""
    sizes = shares(call)
    forms = {"A": ("A", " A", "a", "(A"), "B": ("B", "B)", "**B", "\u2581B")}
    return spelled(call, {form: size / 4 for letter, size in sizes.items() for form in forms[letter]})


def first_five(call: Call) -> Reply:
    """Gives five tokens, however many are asked for."""
    return Reply("A", logprobs=chat_logprobs([dict(list(logs(shares(call)).items())[:5])]))


def at_most_five(call: Call) -> Reply:
    if call.body.get("top_logprobs", 0) > 5:
        return Reply("top_logprobs must be between 0 and 5 for gpt-4", status=400)
    return first_five(call)


def without_a_system(call: Call) -> Reply:
    """As servers whose chat template knows no system message."""
    if call.body["messages"][0]["role"] == "system":
        return Reply("System role not supported", status=400)
    return proper(call)


def continues_alone(call: Call) -> Reply:
    """A base model's server: no chat."""
    return proper(call) if call.is_completion else Reply("the model has no chat template", status=400)


def rambles(call: Call) -> Reply:
    """A base model behind a template that it has not learnt."""
    return proper(call) if call.is_completion else spelled(call, {"\n": 0.9, "The": 0.1})


def thinks(call: Call) -> Reply:
    """Writes its thoughts before the letter."""
    if "logprobs" in call.body:
        return spelled(call, {"<think>": 1.0})
    return Reply(f"<think>Is it negative? Hm.</think>\n\n{in_words(call)}")


def fenced(call: Call) -> Reply:
    return spelled(call, {"```": 1.0}) if "logprobs" in call.body else Reply(f"```\n{in_words(call)}\n```")


def renormalised(call: Call) -> Reply:
    """Structured outputs: all probability is the choices'."""
    return spelled(call, shares(call), rest=0.0)


def sentinel(call: Call) -> Reply:
    """Names what it will not score with -9999."""
    return Reply("A", logprobs=chat_logprobs([{**logs(shares(call)), "never": -9999.0}]))


def legacy(call: Call) -> Reply:
    """The form of completions, in a chat."""
    return Reply("A", logprobs=completion_logprobs([logs(shares(call))]))


@dataclass(frozen=True)
class Server:
    answer: Answer
    way: str
    said: str
    """What the user must read."""
    close: float = 0.02
    """How near the log-odds must be to the model's own."""


BY_LETTERS, BY_SAMPLES, CONTINUED = "by the letters of", "for 4 answers in words", "to continue a few-shot text"
NEVER = 9.0
"""For samples, which count."""
SERVERS = {
    "proper": Server(chat_only(proper), BY_LETTERS, "they cover 0.98"),
    "odd surface forms": Server(chat_only(odd_forms), BY_LETTERS, "they cover 0.98"),
    "five where twenty are asked for": Server(chat_only(first_five), BY_LETTERS, "names 5 of the likeliest tokens"),
    "five at most": Server(chat_only(at_most_five), BY_LETTERS, "names 5 of the likeliest tokens"),
    "no system message": Server(chat_only(without_a_system), BY_LETTERS, "they cover 0.98"),
    "the form of completions": Server(chat_only(legacy), BY_LETTERS, "they cover 0.98"),
    "a sentinel": Server(chat_only(sentinel), BY_LETTERS, "they cover 0.98"),
    "renormalised": Server(chat_only(renormalised), BY_LETTERS, "always 1 and says nothing"),
    "null": Server(silent(in_words), BY_SAMPLES, "it gives no log-probabilities", NEVER),
    "absent": Server(silent(in_words, logprobs={}), BY_SAMPLES, "it gives no log-probabilities", NEVER),
    "empty content": Server(
        silent(in_words, logprobs={"content": []}), BY_SAMPLES, "it gives no log-probabilities", NEVER
    ),
    "refused": Server(
        chat_only(only_without_logprobs("logprobs is not supported with this model")), BY_SAMPLES,
        "the server refuses (400: logprobs is not supported", NEVER,
    ),
    "refused unless it does not reason": Server(
        chat_only(only_without_logprobs("logprobs are not supported with reasoning models")), BY_SAMPLES,
        "`parameters: {reasoning_effort: none}`", NEVER,
    ),
    "refused as an error of its own": Server(
        chat_only(only_without_logprobs("logits_all must be true to give logprobs", 500)), BY_SAMPLES,
        "started with `--logits_all true`", NEVER,
    ),
    "the chosen token alone": Server(
        silent(in_words, logprobs=chat_logprobs([{"A": -0.1}])), BY_SAMPLES, "the chosen token alone", NEVER
    ),
    "positive numbers": Server(
        silent(in_words, logprobs=chat_logprobs([{"A": 0.5, "B": 0.4}])), BY_SAMPLES, "0.5 is more than 0", NEVER
    ),
    "zeros": Server(
        silent(in_words, logprobs=chat_logprobs([{"A": 0.0, "B": 0.0}])), BY_SAMPLES, "add up to 2", NEVER
    ),
    "sentinels alone": Server(
        silent(in_words, logprobs=chat_logprobs([{"A": -9999.0, "B": -9999.0}])), BY_SAMPLES,
        "gives no usable log-probabilities", NEVER,
    ),
    "not numbers": Server(
        silent(in_words, logprobs=chat_logprobs([{"A": float("nan"), "B": float("-inf")}])), BY_SAMPLES,
        "it gives no log-probabilities", NEVER,
    ),
    "words for numbers": Server(
        silent(in_words, logprobs={"content": [{"token": "A", "logprob": "high", "top_logprobs": "B"}]}), BY_SAMPLES,
        "it gives no log-probabilities", NEVER,
    ),
    "a thought first": Server(chat_only(thinks), BY_SAMPLES, "something else than a letter ('<think>'", NEVER),
    "a fence first": Server(chat_only(fenced), BY_SAMPLES, "something else than a letter ('```'", NEVER),
    "a base model without a chat": Server(continues_alone, CONTINUED, "the model has no chat template"),
    "a base model that rambles in a chat": Server(rambles, CONTINUED, "something else than a letter ('\\n'"),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_every_way_of_giving_or_withholding_log_probabilities_is_handled_with_a_sentence(
    tmp_path: Path, name: str
) -> None:
    expected, said = SERVERS[name], []
    with LLMServer(expected.answer) as server:
        made = teacher(tmp_path, server.api_base, said=said, retries=1, samples=4)
        texts = TEXTS[:2] if expected.close == NEVER else TEXTS
        heard = positive(made, texts)
        paid = len(server.answered)
        again = teacher(tmp_path, server.api_base, offline=True, samples=4)
        assert positive(again, texts) == heard, "offline, from the ledger alone"
        assert again.fingerprint == made.fingerprint
        assert len(server.answered) == paid
    assert len(said) == 1 and expected.way in said[0] and expected.said in said[0], said
    assert said[0].count("reasoning_effort") <= 1 and said[0].count("logits_all true") <= 1
    by_letters = expected.way == BY_LETTERS and name != "renormalised"
    assert ("better asked by `way: continuation`" in said[0]) is by_letters
    for text, odds in zip(texts, heard, strict=True):
        if expected.close == NEVER:
            equal = math.log(5.0)  # (4 + 1) / (4 + 2) of four equal answers
            assert odds == pytest.approx(equal if opinion(text) > 0 else -equal, abs=1e-4)
        else:
            assert odds == pytest.approx(opinion(text), abs=expected.close), "the leaning to the letter A is gone"


def test_one_order_alone_keeps_the_leaning_to_a_letter(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        assert positive(teacher(tmp_path, server.api_base, orders=1), ["a good film"]) == pytest.approx([0.7], abs=0.02)
        assert len(server.calls) == 2, "the probe and one order"


@pytest.mark.parametrize(
    ("answer", "way", "said"),
    [
        (
            silent(in_words),
            "letters",
            "by `way: letters`: asked for a letter it gives no log-prob",
        ),
        (only_without_logprobs("logprobs not supported"), "words", "reasoning_effort: none"),
        (thinks, "letters", "begins its answer with something else than a letter ('<think>'; coverage 0.00)"),
        (silent(in_words), "continuation", "given a text to continue the server refuses (404"),
    ],
)
def test_a_way_that_the_recipe_names_and_that_does_not_work_is_refused(
    tmp_path: Path, answer: Answer, way: str, said: str
) -> None:
    with LLMServer(answer) as server, pytest.raises(ProviderError) as caught:
        teacher(tmp_path, server.api_base, way=way).score(TEXTS)
    assert said in str(caught.value)
    assert len(server.calls) <= 2


def test_a_server_that_refuses_everything_ends_the_run_with_its_words(tmp_path: Path) -> None:
    with (
        LLMServer(lambda call: Reply("the model `local` is not loaded", status=400)) as server,
        pytest.raises(ProviderError, match=r"rejected the request.*is not loaded"),
    ):
        teacher(tmp_path, server.api_base).score(TEXTS)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429])
def test_a_failure_that_is_no_refusal_ends_the_search_for_a_way(tmp_path: Path, status: int) -> None:
    with LLMServer(lambda call: Reply("no", status=status)) as server, pytest.raises(ProviderError):
        teacher(tmp_path, server.api_base, retries=0).score(TEXTS)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("anthropic/claude-haiku-4-5", "no way to get log-probabilities from `anthropic/claude-haiku-4-5`"),
        ("openai/o3-mini", "no way to get log-probabilities from `openai/o3-mini`"),
        ("ollama_chat/llama3", "`model: openai/llama3` with `api_base: http://127.0.0.1:11434/v1`"),
    ],
)
def test_models_that_litellm_cannot_ask_for_them_are_sampled_without_a_try(
    tmp_path: Path, model: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-for-a-test")
    asked: list[Any] = []
    with LLMServer(lambda call: asked.append(call.body) or Reply("negative")) as server:
        with pytest.raises(ProviderError) as caught:
            teacher(tmp_path, server.api_base, model=model, way="letters").score(TEXTS)
        assert said in str(caught.value) and not server.calls
        if model.startswith("openai/"):
            told: list[str] = []
            teacher(tmp_path, server.api_base, model=model, said=told).score(TEXTS[:1])
            assert said in told[0] and "for 8 answers in words" in told[0]
            assert not any("logprobs" in body for body in asked)


def test_labels_by_words_where_letters_do_not_reach(tmp_path: Path) -> None:
    labels = (*(f"{letter}{letter.lower()}class" for letter in string.ascii_uppercase), "zzz")

    def answer(call: Call) -> Reply:
        return spelled(call, {"Cc": 0.7, "Ddclass": 0.2, " zz": 0.1})

    said: list[str] = []
    with LLMServer(chat_only(answer)) as server:
        row = teacher(tmp_path, server.api_base, labels=labels, said=said).score(["a film"])[0]
        with pytest.raises(SettingError, match="letters for 26 labels, and there are 27"):
            teacher(tmp_path, server.api_base, labels=labels, way="letters").score(["a film"])
    assert "first tokens of the labels' words" in said[0]
    assert int(row.argmax()) == 2 and row[3] > row[4] and float(row.exp().sum()) == pytest.approx(1, abs=1e-5)
    # "zz" begins two labels, and so speaks for neither
    assert row[25] == row[26] == row[0]


def test_words_that_begin_with_the_same_token_are_refused(tmp_path: Path) -> None:
    with (
        LLMServer(lambda call: spelled(call, {"very": 1.0})) as server,
        pytest.raises(ProviderError, match="begins several labels with the same token"),
    ):
        teacher(tmp_path, server.api_base, way="words", labels=("very bad", "very good")).score(TEXTS)


def test_a_served_model_scores_labels_whole_where_their_first_tokens_do_not_tell_them_apart(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        if not call.is_completion:
            return Reply("no chat template", status=400)
        if not call.body.get("echo"):
            return Reply(" very", logprobs=completion_logprobs([logs({" very": 1.0})]))
        prompt = str(call.body["prompt"])
        asked, _, label = prompt.rpartition("Label:")
        odds = opinion(asked.splitlines()[-1].removeprefix("Text: "))
        size = softmax({"very bad": -odds / 2, "very good": odds / 2})[label.strip()]
        parts = [
            ("the prompt", None),
            (f"{asked[10:]}Label:", -50.0),
            (" very", -0.2),
            (label[5:], logs({"": size})[""]),
        ]
        return Reply("", logprobs=completion_logprobs([{"\n": -0.1}], parts), completion_tokens=1)

    said: list[str] = []
    with LLMServer(answer) as server:
        made = teacher(tmp_path, server.api_base, labels=("very bad", "very good"), said=said)
        assert positive(made, TEXTS) == pytest.approx([opinion(text) for text in TEXTS], abs=0.02)
        assert made.coverage == pytest.approx(0.98 * 0.8187, abs=0.02)
    assert "every label scored whole" in said[0] and "begins several labels" in said[0]


def test_samples_are_counted_by_laplaces_rule(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        if "logprobs" in call.body:
            return Reply("logprobs are not supported", status=400)
        seed = call.body["seed"]
        return Reply(["B", "Positive.", '{"label": "positive"}', "negative", "I cannot say"][seed] if seed < 5 else "")

    with LLMServer(chat_only(answer)) as server:
        made = teacher(tmp_path, server.api_base, samples=5)
        row = made.score(["a film"])[0].exp()
        assert [call.body["temperature"] for call in server.answered] == [1.0] * 6
        assert len({json.dumps(call.body["messages"]) for call in server.answered[1:]}) == 2, "both orders are shown"
    # B is `positive` in the first order; one of five names no label: (3 + 1) / (4 + 2)
    assert row.tolist() == pytest.approx([2 / 6, 4 / 6])
    assert made.coverage == pytest.approx(0.8)


def test_a_base_model_without_log_probabilities_is_sampled_by_continuing_a_text(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        if not call.is_completion:
            return Reply("no chat template", status=400)
        return Reply(" positive" if opinion(text_asked(call)) > 0 else " negative")

    said: list[str] = []
    with LLMServer(answer) as server:
        heard = positive(teacher(tmp_path, server.api_base, said=said), TEXTS[:2])
        assert server.answered[-1].body["stop"] == ["\n"]
    assert heard == pytest.approx([2.1972, -2.1972], abs=1e-4)
    assert "for 8 continuations of a few-shot text" in said[0]


# --- texts without an answer, and coverage ------------------------------------------------------------------------


def test_a_text_that_is_refused_is_left_open_and_counted(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        if text_asked(call) == "a bad film":
            return Reply("The response was filtered: content_filter", status=400)
        if text_asked(call) == "an awful film":
            return Reply(raw=raw_chat({"content": [{"token": "A", "logprob": 0.9, "top_logprobs": []}]}))
        return proper(call)

    said: list[str] = []
    with LLMServer(chat_only(answer)) as server:
        heard = positive(teacher(tmp_path, server.api_base, said=said), TEXTS)
    assert heard == pytest.approx([1.5, 0.0, 0.0, 2.5, 0.0], abs=0.02)
    assert len(said) == 2
    assert "no answer that can be read about 2 of 5 texts" in said[1] and "1/2 for each label" in said[1]


def test_no_readable_answer_at_all_is_an_error(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        return proper(call) if text_asked(call) in ("a great day", "a film") else Reply("A", logprobs=None)

    with LLMServer(chat_only(answer)) as server:
        made = teacher(tmp_path, server.api_base)
        made.score(["a film"])
        with pytest.raises(CodrunError, match="no answer of `openai/local` about 9 texts can be read: it gives no log"):
            made.score([f"a good film {n}" for n in range(9)])


def low(call: Call) -> Reply:
    return spelled(call, shares(call), rest=0.7)


def test_low_coverage_is_said_once_with_its_number(tmp_path: Path) -> None:
    said: list[str] = []
    with LLMServer(chat_only(low)) as server:
        made = teacher(tmp_path, server.api_base, said=said)
        for start in range(0, 24, 8):
            made.score([f"a good film {n}" for n in range(start, start + 8)])
    assert len(said) == 2
    assert "about the labels by 0.30 on average over 8 texts" in said[1]


def test_coverage_below_the_floor_ends_the_run(tmp_path: Path) -> None:
    texts = [f"a good film {n}" for n in range(8)]
    with LLMServer(chat_only(low)) as server:
        with pytest.raises(
            SettingError, match=r"by 0\.30 on average over 8 texts, and `coverage_floor` is 0\.4"
        ) as caught:
            teacher(tmp_path, server.api_base, coverage_floor=0.4).score(texts)
        assert caught.value.setting == ("coverage_floor",)
        paid = len(server.calls)
        teacher(tmp_path, server.api_base, coverage_floor=0.2).score(texts)
        assert len(server.calls) == paid, "what was paid for is in the ledger"


def test_a_server_that_ignores_a_constraint_shows_by_its_coverage(tmp_path: Path) -> None:
    """vLLM dropped `guided_choice` silently: no constraint is ever relied on, whatever the parameters say."""
    with LLMServer(chat_only(lambda call: spelled(call, {"The": 0.9, "A": 0.07, "B": 0.03}))) as server:
        said: list[str] = []
        teacher(tmp_path, server.api_base, said=said, way="letters").score([f"a good film {n}" for n in range(9)])
        assert not any("guided_choice" in call.body or "structured_outputs" in call.body for call in server.calls)
    assert "by 0.10 on average" in said[1]


def test_labels_are_what_the_teacher_is_asked_for(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        assert teacher(tmp_path, server.api_base).labels == LABELS
