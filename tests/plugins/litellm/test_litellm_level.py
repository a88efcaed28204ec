"""How many calls are in flight: a provider that cannot keep up is asked for less at once, and loses no answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Ledger, LLMRequest, ProviderError, Spending
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from codrun_litellm import connection, dispatch, progress
from codrun_litellm.client import Client
from codrun_litellm.level import CAUTION, Level, Slot
from codrun_litellm.options import LitellmOptions


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)


def questions(server: LLMServer, count: int) -> list[LLMRequest]:
    parameters = {"max_tokens": 9}
    return [
        LLMRequest("openai", "openai/local", server.api_base, (("user", f"text {i}"),), parameters, 0, "v1")
        for i in range(count)
    ]


def client(store: Path, server: LLMServer, spending: Spending | None = None, **more: Any) -> Client:
    told = {name: more.pop(name) for name in ("say", "tell") if name in more}
    options = LitellmOptions.model_validate({"model": "openai/local", "api_base": server.api_base, **more})
    spending = spending or Spending()
    return Client(options, Ledger.of_store(store, spending.run), spending, offline=False, **told)


def one_at_a_time(seconds: float) -> Callable[[Call], Reply]:
    """As llama.cpp's server: calls wait in its queue, and are computed even where nobody waits for them any more."""
    turn = threading.Lock()

    def answer(call: Call) -> Reply:
        with turn:
            time.sleep(seconds)
        return Reply(f"answer to {call.prompt}")

    return answer


# --- the level alone ------------------------------------------------------------------------------------------


def taken(level: Level, count: int) -> list[Slot]:
    """``count`` slots, all held at the same time."""

    async def take() -> list[Slot]:
        slots: list[Slot] = []

        async def one() -> None:
            async with level.slot() as slot:
                slots.append(slot)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(one() for _ in range(count)))
        return slots

    return asyncio.run(take())


def test_a_burst_of_refusals_halves_the_level_once_and_the_next_burst_again() -> None:
    level = Level(16)
    burst = taken(level, 16)
    assert [level.refused(slot, timed_out=False) for slot in burst] == [True] + [False] * 15
    assert level.now == 8
    for expected in (4, 2, 1, 1):
        for slot in taken(level, 3):
            level.refused(slot, timed_out=False)
        assert level.now == expected


def test_the_level_grows_by_one_after_as_many_answers_in_a_row_as_it_is() -> None:
    level = Level(4, now=1)
    grown = []
    for _ in range(12):
        level.answered()
        grown.append(level.now)
    assert grown == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]
    interrupted = Level(4, now=2)
    for _ in range(3):
        interrupted.answered()
        interrupted.refused(Slot(-1, 0, True), timed_out=False)
    assert interrupted.now == 2


def test_a_time_out_lowers_the_level_to_what_was_answered_meanwhile() -> None:
    level = Level(16)
    burst = taken(level, 16)
    for _ in range(3):
        level.answered()
    assert level.refused(burst[0], timed_out=True)
    assert level.now == 3
    busy = Level(16)
    burst = taken(busy, 16)
    for _ in range(40):
        busy.answered()
    busy.refused(burst[0], timed_out=True)
    assert busy.now == 8, "one slow call among many that were answered"


def test_a_level_that_timed_out_is_returned_to_slowly() -> None:
    level = Level(2)
    level.refused(taken(level, 2)[0], timed_out=True)
    assert level.again().now == level.now == 1, "another round begins where this one stood"
    for _ in range(CAUTION - 1):
        level.answered()
    assert level.now == 1
    level.answered()
    assert level.now == 2


def test_slots_are_given_in_turn_never_more_than_the_level_and_one_alone_where_asked() -> None:
    level, order, at_once = Level(2), [], []

    async def one(number: int, alone: bool) -> Slot:
        async with level.slot(alone) as slot:
            order.append(number)
            at_once.append(level.in_flight)
            await asyncio.sleep(0.01)
            at_once.append(level.in_flight)
        return slot

    async def every() -> list[Slot]:
        return await asyncio.gather(*(one(number, alone=number == 2) for number in range(6)))

    slots = asyncio.run(every())
    assert order == [0, 1, 2, 3, 4, 5]
    assert max(at_once) == 2
    assert [slot.in_company for slot in slots] == [True, True, False, True, True, True]
    assert level.in_flight == 0


def test_a_call_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    async def cancel_one() -> int:
        level = Level(1)
        async with level.slot():
            waiting = asyncio.create_task(level.slot().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(1), level.slot():
            return level.in_flight

    assert asyncio.run(cancel_one()) == 1


# --- with a server --------------------------------------------------------------------------------------------


def test_a_server_that_serves_one_call_at_a_time_is_not_drowned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.3)
    said: list[str] = []
    spending = Spending(run="r")
    with LLMServer(one_at_a_time(0.1)) as server:
        asked = questions(server, 16)
        client(tmp_path / "first", server).ask(asked[:1])  # the first call of a process is slow by itself
        server.calls.clear()
        made = client(tmp_path, server, spending, timeout=0.3, retries=1, concurrency=16, say=said.append)
        answers = made.ask(asked)
        assert {answers[one.key].text for one in asked} == {f"answer to text {i}" for i in range(16)}
        sent = Counter(call.prompt for call in server.calls)
        assert sum(sent.values()) < 3 * 16, "most of the first burst, and a few more while the server worked it off"
        before = len(server.calls)
        more = [*asked, *questions(server, 20)[16:]]
        made.ask(more)
        assert len(server.calls) - before <= 4 + 2, "what was learnt is not forgotten"
    assert len(said) == 1
    assert said[0].startswith(f"`openai/local` at {server.api_base} answers slower than ")
    assert said[0].endswith(" timed out, so fewer are sent at once; `concurrency: 1` avoids the wait")
    assert Ledger.of_store(tmp_path, "r").spent().calls == spending.summary()["calls"] == len(server.calls)


def test_bursts_of_a_rate_limit_lower_the_level_and_every_call_is_answered(tmp_path: Path) -> None:
    open_now, lock, refused = [0], threading.Lock(), []

    def at_most_three(call: Call) -> Reply:
        with lock:
            open_now[0] += 1
            too_many = open_now[0] > 3
        try:
            time.sleep(0.05)
            if too_many:
                refused.append(call.number)
                return Reply("slow down", status=429)
            return Reply("yes")
        finally:
            with lock:
                open_now[0] -= 1

    with LLMServer(at_most_three) as server:
        asked = questions(server, 24)
        assert len(client(tmp_path, server, concurrency=16, retries=3).ask(asked)) == 24
        assert len(refused) <= 30
        assert max(refused) < len(server.calls), "it was refused less as it went on"


def test_a_call_that_nothing_cures_ends_the_run_only_when_it_was_alone(tmp_path: Path) -> None:
    alone: list[bool] = []
    held: set[int] = set()
    lock = threading.Lock()

    def answer(call: Call) -> Reply:
        if call.prompt != "text 0":
            return Reply("yes", delay=0.05)
        with lock:
            held.add(call.number)
        time.sleep(0.1)
        alone.append(len(server.calls) == call.number)
        return Reply("never", delay=0.5)

    with LLMServer(answer) as server:
        asked = questions(server, 30)
        with pytest.raises(ProviderError, match=r"timed out on every retry \(408\): raise `timeout` or lower"):
            client(tmp_path, server, concurrency=4, timeout=0.3, retries=1).ask(asked)
        assert 2 <= len(held) <= 5
        assert alone[-1], "the last was sent while no other call was in flight"
    assert sum(1 for _ in Ledger.of_store(tmp_path).rows()) == 29


@pytest.mark.parametrize(
    ("model", "base", "seconds"),
    [
        ("openai/local", "http://127.0.0.1:8000/v1", 600.0), ("openai/local", "http://localhost:8000/v1", 600.0),
        ("ollama/llama3", None, 600.0), ("openai/x", "https://gateway.example/v1", 60.0), ("gpt-4o", None, 60.0),
        ("anthropic/claude-3-5-haiku-20241022", None, 60.0),
    ],
)  # fmt: skip
def test_a_server_on_this_machine_is_waited_for_longer(
    monkeypatch: pytest.MonkeyPatch, model: str, base: str | None, seconds: float
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OLLAMA_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    absent = LitellmOptions.model_validate({"model": model, "api_base": base})
    assert absent.seconds_to_wait == seconds
    said = LitellmOptions.model_validate({"model": model, "api_base": base, "timeout": 7})
    assert said.seconds_to_wait == 7
    assert said.identity() == absent.identity(), "patience changes no answer"


def test_the_absent_time_out_is_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCAL_TIMEOUT", 0.2)
    with LLMServer(lambda call: Reply("late", delay=1.0)) as server, pytest.raises(ProviderError, match="timed out"):
        client(tmp_path, server, retries=0).ask(questions(server, 1))


# --- progress -------------------------------------------------------------------------------------------------


def test_a_line_tells_what_happens_and_is_taken_away(tmp_path: Path) -> None:
    told: list[str] = []

    def answer(call: Call) -> Reply:
        if call.number in (1, 4):
            return Reply("slow down", status=429, headers={"Retry-After": "0.3"}, delay=0.1)
        return Reply("yes", delay=0.1)

    with LLMServer(answer) as server:
        asked = questions(server, 6)
        made = client(tmp_path, server, concurrency=2, tell=told.append)
        made.ask(asked[:1])
        assert told[0] == "answers 0 of 1, 1 in flight"
        assert "answers 0 of 1, 0 in flight, 1 retried, failing: 429 rate limit" in told
        assert told[-1] == ""
        told.clear()
        made.ask(asked)
    assert told[0].startswith("answers 1 of 6, "), "those from the ledger are counted"
    assert any(" in flight, 1 retried" in line and "failing" not in line for line in told), "it fails no longer"
    assert told[-1] == "" and told.count("") == 1
    assert all(one != other for one, other in pairwise(told)), "nothing is told twice"
    made.ask(asked)
    assert told[-1] == "" and told.count("") == 1, "nothing is asked, nothing is told"


def test_the_line_is_told_at_most_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.5)
    told: list[str] = []
    with LLMServer(lambda call: Reply("yes", delay=0.01)) as server:
        started = time.monotonic()
        client(tmp_path, server, tell=told.append).ask(questions(server, 60))
        seconds = time.monotonic() - started
    assert len(told) <= 2 + seconds / 0.5
