"""Failures of a provider: retried if that can help, otherwise they end the run with one sentence."""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from word_teacher import WordTeacher, asks, generator

from cod_runner.api import Ledger, ProviderError, Spending
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from codrun_litellm import dispatch
from codrun_litellm.failures import failure_of, scrubbed

TEACHER = WordTeacher()
PLANTED = "sk-planted-0123456789abcdef"  # not a real key


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.01)


def flip(call: Call) -> Reply:
    return Reply(json.dumps({"counterfactual": json.loads(call.prompt)["text"].replace("good", "bad")}))


def once(first: Reply):
    """The first two calls get ``first``, the others good answers."""
    return lambda call: first if call.number <= 2 else flip(call)


@pytest.mark.parametrize(
    "failure",
    [
        Reply("slow down", status=429),
        Reply("broken", status=500),
        Reply("overloaded", status=503),
        Reply(drop=True),
        Reply(raw="this is not JSON"),
        Reply(raw='{"choices": []}'),
        Reply(raw="{}"),
    ],
    ids=["429", "500", "503", "dropped", "not JSON", "no choices", "empty object"],
)
def test_transient_failures_are_retried_and_nothing_is_lost_or_paid_twice(tmp_path: Path, failure: Reply) -> None:
    with LLMServer(once(failure)) as server:
        found = generator(tmp_path, server.api_base).propose(asks(6), TEACHER)
        assert [one[0].input for one in found] == [f"a bad film number {i}" for i in range(6)]
        prompts = [call.prompt for call in server.answered if call.number > 2]
        assert len(server.calls) == 8
        assert len(prompts) == len(set(prompts)) == 6


def test_time_outs_are_retried_and_counted_because_they_may_be_billed(tmp_path: Path) -> None:
    spending = Spending(run="r")
    with LLMServer(once(Reply("late", delay=1.5))) as server:
        found = generator(tmp_path, server.api_base, spending=spending, timeout=0.5).propose(asks(3), TEACHER)
        assert found[2][0].input == "a bad film number 2"
    assert spending.summary()["calls"] == 5
    assert Ledger(tmp_path / "llm.sqlite", "r").spent().calls == 5


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    arrived: list[float] = []

    def answer(call: Call) -> Reply:
        arrived.append(time.monotonic())
        return Reply("slow", status=429, headers={"Retry-After": "1"}) if call.number == 1 else flip(call)

    with LLMServer(answer) as server:
        generator(tmp_path, server.api_base).propose(asks(1), TEACHER)
    assert 1.0 <= arrived[1] - arrived[0] < 3


def test_retry_after_is_read_in_every_form() -> None:
    class Failure(Exception):
        status_code = 429

        def __init__(self, headers: dict[str, str]) -> None:
            self.litellm_response_headers = headers

    assert failure_of(Failure({"Retry-After": "2.5"}), None).retry_after == 2.5
    assert failure_of(Failure({"retry-after-ms": "1500"}), None).retry_after == 1.5
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    wait = failure_of(Failure({"retry-after": date}), None).retry_after
    assert wait is not None and 27 < wait <= 30
    assert failure_of(Failure({"retry-after": "soon"}), None).retry_after is None


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (400, "rejected the request (400): check `model` and its parameters"),
        (401, "refused the key (401): check the environment variable OPENAI_API_KEY"),
        (403, "does not allow the call (403): check what the key in OPENAI_API_KEY may use"),
        (404, "was not found (404): check `model` and `api_base`"),
    ],
)
def test_permanent_failures_end_the_run_at_once_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, sentence: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    with LLMServer(lambda call: Reply(f"no: {PLANTED}", status=status)) as server:
        with pytest.raises(ProviderError) as caught:
            generator(tmp_path, server.api_base, concurrency=4).propose(asks(30), TEACHER)
        assert len(server.calls) <= 4
        told = str(caught.value)
        assert told.startswith(f"`openai/local` at {server.api_base} {sentence}; every answer so far is saved")
    assert "\n" not in told
    assert caught.value.exit_code == 1


def test_a_missing_key_is_named_and_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("MY_API_KEY", raising=False)
    for given, variable in (
        ({"model": "gpt-4o-2024-11-20"}, "OPENAI_API_KEY"),
        ({"model": "anthropic/claude-3-5-haiku-20241022"}, "ANTHROPIC_API_KEY"),
        ({"model": "openai/x", "api_key_env": "MY_API_KEY"}, "MY_API_KEY"),
    ):
        with pytest.raises(ProviderError, match=f"needs a key .401.: set the environment variable {variable}"):
            generator(tmp_path, None, **given)


def test_with_recorded_answers_a_missing_key_is_reported_at_the_first_new_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", PLANTED)
    with LLMServer(flip) as server:
        before = generator(tmp_path, server.api_base, api_key_env="MY_API_KEY").propose(asks(2), TEACHER)
        monkeypatch.delenv("MY_API_KEY")
        made = generator(tmp_path, server.api_base, api_key_env="MY_API_KEY")
        assert made.propose(asks(2), TEACHER) == before
        with pytest.raises(ProviderError, match=r"needs a key .401.: set the environment variable MY_API_KEY"):
            made.propose(asks(3), TEACHER)
        assert len(server.calls) == 2


def test_if_a_server_needs_a_key_the_variable_to_set_is_named(tmp_path: Path) -> None:
    with (
        LLMServer(lambda call: Reply("who are you", status=401)) as server,
        pytest.raises(ProviderError, match=r"needs a key .401.: set the environment variable OPENAI_API_KEY"),
    ):
        generator(tmp_path, server.api_base).propose(asks(1), TEACHER)


def test_an_empty_account_is_not_a_rate_limit(tmp_path: Path) -> None:
    with LLMServer(lambda call: Reply("You exceeded your current quota", status=429)) as server:
        with pytest.raises(ProviderError, match="has no quota left"):
            generator(tmp_path, server.api_base).propose(asks(1), TEACHER)
        assert len(server.calls) == 1


def test_an_unreachable_server_is_reported_before_anything_is_spent(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"at http://127\.0\.0\.1:9/v1 cannot be reached: check `api_base`"):
        generator(tmp_path, "http://127.0.0.1:9/v1")


def test_a_stopped_server_is_reported_and_its_answers_remain(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        before = generator(tmp_path, server.api_base).propose(asks(2), TEACHER)
    made = generator(tmp_path, server.api_base, retries=1)
    assert made.propose(asks(2), TEACHER) == before
    spending = Spending()
    with pytest.raises(ProviderError, match=r"/v1 cannot be reached: check `api_base`"):
        generator(tmp_path, server.api_base, retries=1, spending=spending).propose(asks(3), TEACHER)
    assert spending.summary()["calls"] == 0, "calls that were never sent cost nothing"


def test_answers_before_a_failure_are_saved_and_a_resume_requests_the_rest(tmp_path: Path) -> None:
    healthy = False

    def answer(call: Call) -> Reply:
        return flip(call) if healthy or call.number <= 5 else Reply("gone", status=404)

    with LLMServer(answer) as server:
        with pytest.raises(ProviderError):
            generator(tmp_path, server.api_base, concurrency=2).propose(asks(12), TEACHER)
        paid = [call.prompt for call in server.answered]
        assert len(paid) == 5
        healthy = True
        generator(tmp_path, server.api_base).propose(asks(12), TEACHER)
        paid = [call.prompt for call in server.answered]
        assert len(paid) == len(set(paid)) == 12


def test_when_everything_fails_the_circuit_breaks_before_every_retry_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "BREAKER_SECONDS", 0.1)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.05)
    with LLMServer(lambda call: Reply("down", status=500)) as server:
        with pytest.raises(ProviderError, match="failed on every retry"):
            generator(tmp_path, server.api_base, retries=20, concurrency=8).propose(asks(50), TEACHER)
        assert len(server.calls) < 100


def test_a_rate_limit_for_everyone_does_not_break_the_circuit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "BREAKER_SECONDS", 0.0)
    with LLMServer(lambda call: flip(call) if call.number > 30 else Reply("slow", status=429)) as server:
        assert len(generator(tmp_path, server.api_base, retries=20).propose(asks(16), TEACHER)) == 16


@pytest.mark.parametrize("how", ["environment", "named variable"])
def test_a_planted_key_appears_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd, how: str
) -> None:
    variable = "OPENAI_API_KEY" if how == "environment" else "MY_LLM_API_KEY"
    monkeypatch.setenv(variable, PLANTED)
    named = {} if how == "environment" else {"api_key_env": variable}
    caplog.set_level(logging.DEBUG)

    def answer(call: Call) -> Reply:
        assert call.authorization == f"Bearer {PLANTED}"
        if call.number == 1:
            return Reply(f"your header was {call.authorization}")
        if call.number == 2:
            return Reply(f"broken, header {call.authorization}", status=500)
        return Reply(f"invalid key {PLANTED}", status=401)

    with LLMServer(answer) as server:
        made = generator(tmp_path, server.api_base, concurrency=1, **named)
        with pytest.raises(ProviderError) as caught:
            made.propose(asks(4), TEACHER)
        assert len(server.calls) == 3
        found = generator(tmp_path, server.api_base, offline=True).propose(asks(1), TEACHER)
    told = "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        told += str(error) + repr(error.__dict__)
        error = error.__cause__ or error.__context__
    Ledger(tmp_path / "llm.sqlite").export(tmp_path / "export.jsonl")
    told += caplog.text + "".join(capfd.readouterr()) + str(found)
    assert PLANTED not in told
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert PLANTED.encode() not in file.read_bytes(), file
    assert "[key]" in str(caught.value)


def test_what_looks_like_a_key_is_removed_from_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "verysecretvalue")
    text = "key sk-abc***6789 and Bearer abc.def, verysecretvalue, https://h/v1?key=AIzaXYZ&x=1"
    assert scrubbed(text) == "key [key] and bearer [key], [key], https://h/v1?key=[key]&x=1"
    assert scrubbed("a key-note and tokens") == "a key-note and tokens"
