"""The teacher `litellm` and money: what is sent, paid for once, bounded, and what its options say beforehand."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from label_server import LABELS, SHOTS, TEXTS, positive, proper, shares, silent, softmax, teacher, text_asked
from word_teacher import WordTeacher, asks, generator

from cod_runner.api import (
    BuildContext,
    CodrunError,
    DataError,
    Example,
    LabelScorer,
    Ledger,
    ProviderError,
    SettingError,
    Spending,
)  # fmt: skip
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from codrun_litellm import client, dispatch
from codrun_litellm.pricing import Price
from codrun_litellm.teacher import LitellmTeacher
from codrun_litellm.teacher_options import LitellmTeacherOptions
from codrun_litellm.ways import orders_of

FILMS = [f"a {'good' if n % 2 else 'bad'} film number {n}" for n in range(20)]


@pytest.fixture(autouse=True)
def _no_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(dispatch, "FIRST_WAIT", 0.001)


def options(**given: object) -> LitellmTeacherOptions:
    return LitellmTeacherOptions.model_validate({"model": "openai/local", **given})


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_call_asks_for_one_token_and_its_log_probabilities(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        made = teacher(tmp_path, server.api_base, parameters={"reasoning_effort": "none"})
        assert isinstance(made, LabelScorer)
        said = made.score(["a good\nfilm", "a good\nfilm"])
        bodies = [call.body for call in server.calls]
    assert said.dtype == torch.float32 and said.shape == (2, 2)
    assert said.exp().sum(1).tolist() == pytest.approx([1.0, 1.0], abs=1e-6)
    assert len(bodies) == 1 + 2, "one probe, two orders, equal texts once"
    for body in bodies:
        assert {"max_tokens": 1, "logprobs": True, "top_logprobs": 20, "temperature": 1.0}.items() <= body.items()
        assert body["reasoning_effort"] == "none"
    systems = {body["messages"][0]["content"] for body in bodies[1:]}
    assert {system.splitlines()[-2] for system in systems} == {"A: negative", "A: positive"}
    for body in bodies[1:]:
        assert [turn["role"] for turn in body["messages"]] == ["system", *["user", "assistant"] * 2, "user"]
        assert body["messages"][-1]["content"] == "Text: a good film"


@pytest.mark.parametrize(
    ("classes", "wanted", "orders"),
    [
        (2, 1, [(0, 1)]),
        (2, 9, [(0, 1), (1, 0)]),
        (3, 2, [(0, 1, 2), (2, 1, 0)]),
        (3, 9, [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2), (2, 0, 1), (0, 2, 1)]),
    ],
)
def test_labels_are_listed_forwards_backwards_and_rotated(classes: int, wanted: int, orders: list) -> None:
    assert orders_of(classes, wanted) == orders


def test_an_answer_depends_on_its_text_alone(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        together = positive(teacher(tmp_path / "a", server.api_base), TEXTS)
        alone = teacher(tmp_path / "b", server.api_base)
        assert [positive(alone, [text])[0] for text in reversed(TEXTS)] == together[::-1]


def test_vectors_are_refused(tmp_path: Path) -> None:
    with LLMServer(proper) as server, pytest.raises(DataError, match="reads texts, neither vectors"):
        teacher(tmp_path, server.api_base).score([(0.1, 0.2)])


# --- what is paid for ---------------------------------------------------------------------------------------------


def test_what_was_asked_costs_nothing_again_and_has_its_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "price_of", lambda model, base: Price(1e-6, 2e-6))
    spending = Spending(run="first")
    with LLMServer(proper) as server:
        made = teacher(tmp_path, server.api_base, spending=spending)
        before = made.score(FILMS)
        assert torch.equal(made.score(FILMS[::-1]), before.flip(0))
        again = teacher(tmp_path, server.api_base, spending=Spending(run="second"))
        assert torch.equal(again.score(FILMS), before)
        assert len(server.calls) == 1 + 2 * len(FILMS)
        assert made.price(FILMS) == pytest.approx(2 * len(FILMS) * (10e-6 + 5 * 2e-6))
        assert made.price([*FILMS, "a film that was never asked about"]) is None
        assert len(server.calls) == 1 + 2 * len(FILMS)
    assert spending.summary()["calls"] == 1 + 2 * len(FILMS)


def test_a_budget_that_ends_in_the_middle_loses_nothing_and_earlier_calls_count(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        with pytest.raises(ProviderError, match="budget `calls: 15` has no room"):
            teacher(tmp_path, server.api_base, spending=Spending(calls=15, run="r"), concurrency=3).score(FILMS)
        assert len(server.answered) == 15
        with pytest.raises(ProviderError, match="has spent 15 calls"):
            teacher(tmp_path, server.api_base, spending=Spending(calls=15, run="r")).score(FILMS)
        assert len(server.calls) == 15
        resumed = Spending(calls=41, run="r")
        teacher(tmp_path, server.api_base, spending=resumed).score(FILMS)
        assert len(server.calls) == 41 == resumed.summary()["calls"]


def test_a_teacher_and_a_generator_on_one_ledger_count_what_was_spent_once(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        return proper(call) if "logprobs" in call.body else Reply('{"counterfactual": "a bad film"}')

    with LLMServer(answer) as server:
        first = Spending(run="r")
        teacher(tmp_path, server.api_base, spending=first).score(FILMS[:3])
        generator(tmp_path, server.api_base, spending=first).propose(asks(2), WordTeacher())
        assert first.summary()["calls"] == 1 + 6 + 2 == len(server.calls)
        resumed = Spending(run="r")
        made = teacher(tmp_path, server.api_base, spending=resumed)
        other = generator(tmp_path, server.api_base, spending=resumed)
        assert resumed.summary()["calls"] == 9
        made.score(FILMS[:4])
        other.propose(asks(3), WordTeacher())
        assert resumed.summary()["calls"] == 9 + 2 + 1 == len(server.calls)


def test_a_key_that_is_refused_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    refused_after = 20

    def answer(call: Call) -> Reply:
        return Reply("the key was revoked", status=401) if call.number > refused_after else proper(call)

    with LLMServer(answer) as server:
        with pytest.raises(ProviderError, match="401"):
            teacher(tmp_path, server.api_base, concurrency=4).score(FILMS)
        refused = len(server.calls) - 20
        assert len(server.answered) == 20 and 1 <= refused <= 4
        assert len(list(Ledger.of_store(tmp_path).rows())) == 20
        refused_after = 1000
        teacher(tmp_path, server.api_base).score(FILMS)
        assert len(server.answered) == 41, "nothing that was answered is asked for again"


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from label_server import teacher
from cod_runner.api import Spending
made = teacher(Path(sys.argv[2]), sys.argv[3], spending=Spending(run="run"), concurrency=4)
made.score([f"a {'good' if n % 2 else 'bad'} film number {n}" for n in range(20)])
"""


def test_a_killed_run_goes_on_and_asks_for_no_recorded_answer_again(tmp_path: Path) -> None:
    enough = threading.Event()

    def answer(call: Call) -> Reply:
        if call.number >= 12:
            enough.set()
        reply = proper(call)
        return Reply(reply.text, logprobs=reply.logprobs, delay=0.05)

    with LLMServer(answer) as server:
        folder = str(Path(__file__).parent)
        process = subprocess.Popen([sys.executable, "-c", RUN, folder, str(tmp_path), server.api_base])
        assert enough.wait(60)
        process.kill()
        process.wait()
        ledger = Ledger.of_store(tmp_path)
        recorded = {row["key"] for row in ledger.rows()}
        ledger.close()
        assert len(recorded) >= 6
        before = len(server.calls)
        resumed = Spending(run="run")
        said: list[str] = []
        heard = positive(teacher(tmp_path, server.api_base, spending=resumed, said=said), FILMS)
        assert len(server.calls) - before == 41 - len(recorded), "nothing that was recorded is asked for again"
        assert len({row["key"] for row in Ledger.of_store(tmp_path).rows()}) == 41
    assert [odds > 0 for odds in heard] == [n % 2 == 1 for n in range(20)]
    assert resumed.summary()["calls"] >= 41, "what the killed run had in flight may be billed, and is counted"


def test_offline_asks_nothing_and_says_what_is_missing(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        before = teacher(tmp_path, server.api_base).score(TEXTS)
        base = server.api_base
    offline = teacher(tmp_path, base, offline=True)
    assert torch.equal(offline.score(TEXTS), before)
    with pytest.raises(ProviderError, match=r"2 of 12 answers of `openai/local` are not in the ledger"):
        offline.score([*TEXTS, "another film"])
    with pytest.raises(ProviderError, match="not in the ledger"):
        teacher(tmp_path / "empty", base, offline=True).score(TEXTS)


def test_what_cannot_be_called_is_said_when_the_teacher_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderError, match=r"cannot be reached: check `api_base`"):
        teacher(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError, match="set the environment variable OPENAI_API_KEY"):
        teacher(tmp_path, None, model="openai/gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "planted-for-a-test")
    with pytest.raises(SettingError, match="price of `openai/local` is unknown"):
        teacher(tmp_path, "http://127.0.0.1:9/v1", spending=Spending(usd=1.0), offline=True)


# --- what it is ---------------------------------------------------------------------------------------------------


def test_a_fingerprint_holds_whatever_decides_an_answer_and_nothing_else(tmp_path: Path) -> None:
    with LLMServer(proper) as server:
        base = server.api_base
        one = teacher(tmp_path, base).fingerprint
        same = [{"concurrency": 2}, {"timeout": 9.0}, {"retries": 0}, {"coverage_floor": 0.1}, {"leave_one_out": True}]
        assert {teacher(tmp_path, base, **each).fingerprint for each in same} == {one}
        changed = [
            {"orders": 1}, {"way": "words"}, {"words": {"positive": "good"}}, {"text_name": "Review"},
            {"parameters": {"top_p": 0.5}}, {"labels": ("bad", "fine")}, {"describe": "Something else?"},
            {"shots": SHOTS[:1]}, {"seed": 1},
        ]  # fmt: skip
        found = [teacher(tmp_path, base, **each).fingerprint for each in changed]
    assert len({one, *found}) == len(changed) + 1


def test_a_way_that_was_found_tells_its_answers_apart(tmp_path: Path) -> None:
    """A server that was asked by samples and gives log-probabilities later is another teacher."""
    gives = False

    def answer(call: Call) -> Reply:
        return proper(call) if gives else silent(lambda call: "negative")(call)

    with LLMServer(answer) as server:
        before = teacher(tmp_path / "a", server.api_base).fingerprint
        gives = True
        assert teacher(tmp_path / "b", server.api_base).fingerprint != before
        assert teacher(tmp_path / "a", server.api_base).fingerprint == before, "a run that goes on decides alike"


def test_a_prompt_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Judge this. {describe}")
    with LLMServer(proper) as server:
        first = teacher(tmp_path, server.api_base, prompt=f"file:{file}")
        before = options(prompt=f"file:{file}").identity()
        first.score(TEXTS[:1])
        assert server.calls[-1].body["messages"][0]["content"].startswith("Judge this. Is the text's opinion")
        file.write_text("Judge that. {describe}")
        assert options(prompt=f"file:{file}").identity() != before


def test_a_word_for_what_is_no_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="`words` has a word for `positiv`, which is not a label") as caught:
        teacher(tmp_path, None, offline=True, words={"positiv": "good"})
    assert caught.value.setting == ("words",)


def test_it_only_answers_and_is_not_asked_about_every_word_unless_that_is_allowed() -> None:
    told = options(shots=4, seed=3).answering()
    assert (told.shots, told.seed, told.hidden_states, told.leave_one_out) == (4, 3, False, False)
    assert "leave_one_out: true" in told.leave_one_out_hint
    assert options(leave_one_out=True).answering().leave_one_out
    (sent,) = options(api_base="http://127.0.0.1:8000/v1").destinations()
    assert sent.address == "http://127.0.0.1:8000/v1" and sent.sends == "the texts"


@pytest.mark.parametrize(
    ("given", "calls"),
    [
        ({}, (200, 800)),
        ({"orders": 4, "samples": 2}, (200, 400)),
        ({"way": "letters"}, (200, 200)),
        ({"way": "letters", "orders": 6}, (600, 600)),
        ({"way": "words"}, (100, 100)),
        ({"way": "continuation"}, (100, 100)),
        ({"way": "samples"}, (800, 800)),
    ],
)
def test_an_estimate_counts_calls_from_letters_to_samples(given: dict, calls: tuple[int, int]) -> None:
    told = options(**{"model": "gpt-4o-mini", **given}).estimate(100, 120)
    assert (told.calls_low, told.calls_high) == calls
    assert told.usd_low is not None and told.usd_high is not None and 0 < told.usd_low <= told.usd_high < 1


def test_an_estimate_knows_the_shots_and_that_thoughts_are_billed() -> None:
    few, many = (options(model="gpt-4o-mini", shots=shots).estimate(100, 400) for shots in (0, 16))
    assert many.tokens_low > few.tokens_low + 100 * 2 * 16 * 100 * 0.9
    short, thinking = (
        options(model="gpt-4o-mini", way="samples", parameters={"reasoning_effort": effort}).estimate(10, 100)
        for effort in ("none", "high")
    )
    assert thinking.tokens_high > short.tokens_high + 80 * 400
    assert options().estimate(100, 100).usd_high is None, "an unknown price is not 0"


def test_planning_a_teacher_imports_nothing_heavy() -> None:
    script = (
        "import sys; from cod_runner.registry import Registry\n"
        "told = Registry.discover().options('teacher', 'litellm', {'model': 'gpt-4o-mini'})\n"
        "told.estimate(10, 100), told.identity(), told.answering(), told.destinations()\n"
        "print([name for name in ('litellm', 'torch', 'transformers', 'openai', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    "given",
    [{"way": "letter"}, {"orders": 0}, {"samples": 0}, {"coverage_floor": 1.5}, {"temperature": 0.5}, {"api_key": "x"}],
)
def test_options_that_make_no_sense_are_refused(given: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        options(**given)


def test_labels_of_every_kind_are_data(tmp_path: Path) -> None:
    labels = ('quote"d', "{describe}")
    with LLMServer(lambda call: Reply("no", status=404) if call.is_completion else Reply("{describe}")) as server:
        row = teacher(tmp_path, server.api_base, labels=labels).score(["a film"])[0]
        asked = [call.body["messages"][0]["content"] for call in server.calls if not call.is_completion]
        assert any("A: {describe}" in each for each in asked)  # one of the orders, in which calls arrive by chance
    assert row.argmax() == 1


def test_an_order_without_an_answer_is_left_out(tmp_path: Path) -> None:
    def answer(call: Call) -> Reply:
        reversed_order = "A: positive" in str(call.body["messages"][0]["content"])
        if reversed_order and text_asked(call) == "a good film":
            return Reply("The response was filtered: content_filter", status=400)
        return proper(call)

    with LLMServer(answer) as server:
        assert positive(teacher(tmp_path, server.api_base), ["a good film"]) == pytest.approx([0.7], abs=0.02)


def test_without_a_store_there_is_no_ledger_and_no_teacher() -> None:
    with pytest.raises(CodrunError, match="needs a store"):
        LitellmTeacher(options(), BuildContext(labels=LABELS, shots=[Example("s", "text", 0)]))


def test_the_model_of_these_tests_leans_towards_a_letter() -> None:
    call = Call(1, {"messages": [{"role": "system", "content": "A: positive\nB: negative"},
                                 {"role": "user", "content": "Text: a film"}]}, "")  # fmt: skip
    assert shares(call) == pytest.approx(softmax({"A": 0.8, "B": 0.0}))
