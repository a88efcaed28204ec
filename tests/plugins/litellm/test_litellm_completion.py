"""The generator for base models: a text to be continued, whose next line is the candidate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from word_teacher import LABELS, WordTeacher, asks, generator

from cod_runner.api import Example, Request
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from codrun_litellm import dispatch
from codrun_litellm.completion import PAIRS, to_be_continued
from codrun_litellm.options import PROMPTS, LitellmOptions

TEACHER = WordTeacher()


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.01)


def asked_about(prompt: str) -> str:
    """The text that awaits its pair, in a prompt."""
    return prompt.rpartition("\n\n")[2].splitlines()[0].partition(": ")[2]


def flip(call: Call) -> Reply:
    """As a base model: the next line, and more where the server knows no `stop`."""
    return Reply(f" {asked_about(call.prompt).replace('good', 'bad')}\n\nText (positive): and so on")


def test_a_base_model_is_given_pairs_and_its_next_line_is_the_candidate(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        found = generator(tmp_path, server.api_base, mode="completion", prompt="sentiment").propose(asks(3), TEACHER)
        assert {call.path for call in server.calls} == {"/v1/completions"}
        body = min(server.calls, key=lambda call: call.prompt).body
    assert [one[0].input for one in found] == [f"a bad film number {i}" for i in range(3)]
    assert body["stop"] == ["\n"] and body["temperature"] == 0.0 and body["max_tokens"] == 512
    heading, first, second, last = body["prompt"].split("\n\n")
    assert "Does a sentence praise a film?" in heading and '"negative", "positive"' in heading
    text, edited, old, new = PAIRS["sentiment"][0]
    assert first == f"Text ({old}): {text}\nEdited ({new}): {edited}"
    assert second.startswith("Text (complaint): ")
    assert last == "Text (positive): a good film number 0\nEdited (negative):"


def test_verified_pairs_of_the_run_stand_in_for_ours(tmp_path: Path) -> None:
    pool = [Example(f"p{i}", f"a {'good' if i % 2 else 'bad'} day\nnumber {i}", i % 2) for i in range(8)]

    def answer(call: Call) -> Reply:
        turned = asked_about(call.prompt).replace("good", "warm").replace("bad", "good").replace("warm", "bad")
        return Reply(turned)

    with LLMServer(answer) as server:
        made = generator(tmp_path, server.api_base, mode="completion", demonstrations=2, pool=pool)
        made.propose(asks(1), TEACHER)
        *drawn, last = (call.prompt for call in server.calls)
    ours = PAIRS["generic"][0][0]
    assert len(drawn) == 4 and all(ours in prompt for prompt in drawn)
    assert ours not in last
    for block in last.split("\n\n")[1:3]:
        before, after = (line.partition(": ")[2] for line in block.splitlines())
        assert "day number" in before, "on one line, though the text has two"
        assert TEACHER.score([before]) != TEACHER.score([after])


def test_each_text_stands_on_one_line_and_labels_are_data() -> None:
    request = Request("r", "one\r\n\r\n  two\u2028three {labels}\n", 0, 1)
    prompt = to_be_continued(request, "generic", ("a\nb", "{describe}"), "", [("x\ny", "z \ud83d\n", 0, 1)])
    assert prompt.split("\n\n")[1:] == [
        "Text (a b): x y\nEdited ({describe}): z ?",
        "Text (a b): one two three {labels}\nEdited ({describe}):",
    ]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_prompt_has_this_form_too(prompt: str) -> None:
    request = Request("r", "some text", 0, 0 if prompt in ("paraphrase", "in_domain") else 1)
    text = to_be_continued(request, prompt, LABELS, "")
    named = any(label in text for label in LABELS)
    assert named == (prompt not in ("paraphrase", "in_domain")), "texts that are like another name no class"
    assert all(before in text and after in text for before, after, _, _ in PAIRS[prompt])
    assert text.endswith((":", ")"))


def test_a_file_of_instructions_comes_first(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("From {label} to {target}, please.\n")
    request = Request("r", "some text", 0, 1)
    text = to_be_continued(request, f"file:{tmp_path / 'mine.txt'}", LABELS, "")
    assert text.startswith('From "negative" to "positive", please.\n\nText (statement): ')


@pytest.mark.parametrize(
    ("reply", "candidate"),
    [
        (Reply(" a bad film"), "a bad film"),
        (Reply(" a bad film\n", finish_reason="length"), "a bad film"),
        (Reply(" a bad fi", finish_reason="length"), ""),
        (Reply("\nText: another"), ""),
        (Reply(""), ""),
        (Reply('  "a bad film"  '), '"a bad film"'),
    ],
    ids=["a line", "longer than it may be", "cut off", "an empty line", "nothing", "in quotes"],
)
def test_the_first_line_is_the_candidate(tmp_path: Path, reply: Reply, candidate: str) -> None:
    with LLMServer(lambda call: reply) as server:
        found = generator(tmp_path, server.api_base, mode="completion").propose(asks(1), TEACHER)
        assert [one.input for one in found[0]] == [candidate]


def test_a_later_round_asks_for_further_samples(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        made = generator(tmp_path, server.api_base, mode="completion", candidates=[2, 2, 2], seed=5)
        for number in (1, 2, 3):
            made.propose([Request("r0", "a good film", 1, 0, round=number)], TEACHER)
        sent = sorted((call.body["seed"], call.body["temperature"]) for call in server.calls)
    assert sent == [(5, 0.0), *((seed, 0.8) for seed in range(6, 11))]


def test_chats_keep_their_identity_and_completions_have_their_own() -> None:
    chat = LitellmOptions(model="openai/local")
    assert "mode" not in chat.identity() and chat.identity()["prompt"] == "generic-v1"
    assert LitellmOptions(model="openai/local", mode="chat").identity() == chat.identity()
    assert LitellmOptions(model="openai/local", mode="completion").identity()["prompt"] == "generic-v1-completion-v1"


@pytest.mark.parametrize("option", [{"highlight": 3}, {"json_mode": True}])
def test_what_only_a_chat_can_hold_is_refused(option: dict) -> None:
    with pytest.raises(ValidationError, match="goes with `mode: chat`"):
        LitellmOptions(model="openai/local", mode="completion", **option)
    assert LitellmOptions(model="openai/local", **option)


def test_an_estimate_counts_the_text_that_is_sent() -> None:
    chat = LitellmOptions(model="gpt-4o").estimate(10, 80)
    completion = LitellmOptions(model="gpt-4o", mode="completion").estimate(10, 80)
    assert 0 < completion.tokens_low < chat.tokens_low
    assert json.dumps(completion.calls_high) == json.dumps(chat.calls_high)
