"""The generator on the command line: killed during a run and resumed, offline, without a key, out of budget."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Ledger
from cod_runner.cli import call
from cod_runner.testing.llm_server import Call, LLMServer, Reply
from cod_runner.testing.tiny_models import tiny_bert

PLANTED = "sk-planted-0123456789abcdef"  # not a real key
CONCURRENCY = 3
PAIRS = 16
RECIPE = f"""
recipe: 1
name: paid
describe: Does a sentence praise a film?
dataset: {{use: csv, path: films.csv, text: text, label: label, labels: [bad, fine]}}
k: [16]
seeds: [0, 1]
teacher: {{use: transformers, model: ./teacher, finetune: {{rows: 400, epochs: 3, lr: 0.005, batch_size: 32}}}}
student: {{use: transformers, layers_from_teacher: [1]}}
counterfactuals:
  generators:
    - {{use: litellm, model: openai/local, api_base: "http://127.0.0.1:9/v1", candidates: [1, 2], prompt: sentiment,
       concurrency: {CONCURRENCY}, retries: 1}}
methods: {{kd: [hard, {{use: kd, weight: 5}}]}}
train: {{steps: 4, lr: 0.001}}
"""
ADJECTIVES = (("awful", "dull", "weak", "cold"), ("warm", "great", "funny", "bright"))
ENDINGS = ("on mondays", "with friends", "after dinner", "in town")
"""One for each adjective of either class, another one for its opposite: a text turned round is then near to no row."""
TEXTS = [
    (f"the {noun} of this {kind} was {adjective} {ENDINGS[(place + label) % len(ENDINGS)]}", label)
    for label, adjectives in enumerate(ADJECTIVES)
    for place, adjective in enumerate(adjectives)
    for noun in ("cast", "plot", "story", "song", "ending", "light", "pace", "script")
    for kind in ("film", "movie", "series", "show", "drama", "comedy", "western", "musical")
]


def turned(text: str) -> str:
    """The text with its adjective replaced by one of the opposite class."""
    swap = dict(zip(ADJECTIVES[0] + ADJECTIVES[1], ADJECTIVES[1] + ADJECTIVES[0], strict=True))
    return " ".join(swap.get(word, word) for word in text.split())


def flip(call: Call) -> Reply:
    return Reply(json.dumps({"counterfactual": turned(json.loads(call.prompt)["text"])}))


def slowly(call: Call) -> Reply:
    return Reply(flip(call).text, delay=0.15)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe, its data, a teacher, and a store that contains the fine-tuned teacher."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "films.csv").write_text(
        "text,label\n" + "".join(f"{text},{('bad', 'fine')[label]}\n" for text, label in TEXTS)
    )
    tiny_bert(folder / "teacher", [text for text, _ in TEXTS])
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "store"))
        patch.chdir(folder)
        assert call(["cfes", "recipe.yaml", "--set", "counterfactuals.generators=[lexicon]", "--quiet"]) == 0
    shutil.rmtree(folder / "store" / "pairs")
    shutil.rmtree(folder / "runs")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working folder, with its own store."""
    place = tmp_path / "experiment"
    shutil.copytree(trained, place)
    monkeypatch.setenv("CODRUN_HOME", str(place / "store"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(place)
    return place


def at(api_base: str) -> list[str]:
    return ["--set", f"counterfactuals.generators.0.api_base={api_base}"]


def question(request: Mapping[str, Any]) -> str:
    """What identifies a call, at the server as in the ledger."""
    messages = [[message["role"], message["content"]] for message in request["messages"]]
    parameters = request.get("parameters", request)
    return json.dumps([messages, parameters["seed"], parameters["temperature"]])


def recorded(folder: Path) -> set[str]:
    path = folder / "store" / "llm.sqlite"
    return {question(row) for row in Ledger(path).rows()} if path.exists() else set()


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command line in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-c", "from cod_runner.cli import main; main()", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_a_repeatedly_killed_run_requests_no_recorded_answer_again(folder: Path) -> None:
    """kill -9 early and late in the generation; at most the calls in flight at a kill are repeated."""
    had: set[str] = set()
    lost: list[str] = []
    with LLMServer(slowly) as server:
        for answers in (2, 6):
            asked, answered = len(server.calls), len(server.answered)
            process = started("run", "recipe.yaml", *at(server.api_base), "--jobs", "1")
            wait_until(lambda wanted=answered + answers: len(server.answered) >= wanted, process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            time.sleep(0.4)  # nobody receives what the server still answers
            sent = [question(one.body) for one in server.calls[asked:]]
            assert not set(sent) & had, "an answer in the ledger was requested again"
            had = recorded(folder)
            in_flight = [name for name in sent if name not in had]
            assert len(sent) >= answers
            assert len(in_flight) <= CONCURRENCY, "an answer was not recorded at once"
            lost += in_flight
        asked = len(server.calls)
        assert call(["run", "recipe.yaml", *at(server.api_base), "--jobs", "1", "--quiet"]) == 0
        assert not {question(one.body) for one in server.calls[asked:]} & had
        counts = Counter(question(one.body) for one in server.calls)
    assert {name: count - 1 for name, count in counts.items() if count > 1} == Counter(lost)
    assert recorded(folder) == set(counts)
    assert len(counts) == PAIRS
    record = json.loads((folder / "runs" / "paid" / "run.json").read_text())
    # calls that a killed run had in flight may be billed, so they count, and so does one that it was about to send
    assert sum(counts.values()) <= record["calls"] <= PAIRS + 2 * CONCURRENCY
    assert len((folder / "runs" / "paid" / "cells.jsonl").read_text().splitlines()) == 4


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_continues(folder: Path) -> None:
    with LLMServer(slowly) as server:
        process = started("cfes", "recipe.yaml", *at(server.api_base))
        wait_until(lambda: len(server.answered) >= 4, process)
        os.killpg(process.pid, signal.SIGINT)
        told = process.communicate(timeout=240)[0]
        assert process.returncode == 130, told
        assert "interrupted; nothing that is finished is lost, the same command continues" in " ".join(told.split())
        assert "Traceback" not in told
        had, asked = recorded(folder), len(server.calls)
        assert 4 - CONCURRENCY <= len(had) < PAIRS
        assert call(["cfes", "recipe.yaml", *at(server.api_base), "--quiet"]) == 0
        later = [question(one.body) for one in server.calls[asked:]]
        assert not set(later) & had
        assert len(later) == len(set(later)) == PAIRS - len(had)


def seen(folder: Path) -> str:
    """Everything in the run and the store, as text."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".safetensors", ".lock")]
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def test_a_wrong_key_is_one_sentence_with_exit_code_1_and_appears_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    right = False

    def answer(call: Call) -> Reply:
        return flip(call) if right else Reply(f"Incorrect API key provided: {PLANTED}", status=401)

    with LLMServer(answer) as server:
        assert call(["run", "recipe.yaml", *at(server.api_base), "--quiet"]) == 1
        told = " ".join(capfd.readouterr().err.split())
        assert (
            f"error: `openai/local` at {server.api_base} refused the key (401): check the environment variable "
            "OPENAI_API_KEY; every answer so far is saved, run the same command to continue; the provider's words:"
        ) in told
        assert "Traceback" not in told
        assert len(server.calls) <= CONCURRENCY
        assert {one.authorization for one in server.calls} == {f"Bearer {PLANTED}"}
        assert not recorded(folder)
        right = True
        assert call(["cfes", "recipe.yaml", *at(server.api_base), "--quiet", "--json"]) == 0
        assert call(["ledger", "export", "shared.jsonl"]) == 0
        shown = "".join(capfd.readouterr())
    assert len(recorded(folder)) == PAIRS
    assert PLANTED not in told + shown + seen(folder)


@pytest.mark.parametrize("hosted", [True, False])
def test_without_any_key_the_variable_to_set_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str], hosted: bool
) -> None:
    with LLMServer(lambda call: Reply("You didn't provide an API key", status=401)) as server:
        named = ["--set", "counterfactuals.generators.0.model=gpt-4o-2024-11-20"] if hosted else []
        base = ["--set", "counterfactuals.generators.0.api_base=null"] if hosted else at(server.api_base)
        assert call(["cfes", "recipe.yaml", *base, *named, "--quiet"]) == 1
        assert not hosted or not server.calls
    told = " ".join(capfd.readouterr().err.split())
    model = "`gpt-4o-2024-11-20`" if hosted else f"`openai/local` at {server.api_base}"
    assert f"error: {model} needs a key (401): set the environment variable OPENAI_API_KEY; every answer" in told


def test_an_exhausted_budget_ends_the_run_and_a_larger_one_continues_it(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def cfes(calls: int) -> int:
        return call(["cfes", "recipe.yaml", *at(server.api_base), "--set", f"counterfactuals.budget.calls={calls}"])

    with LLMServer(slowly) as server:
        assert cfes(7) == 1
        assert "the budget `calls: 7` has no room for one more call: this run has spent 7 calls" in " ".join(
            capfd.readouterr().err.split()
        )
        assert len(server.calls) == len(recorded(folder)) == 7
        assert cfes(7) == 1
        assert len(server.calls) == 7, "a resumed run counts its earlier calls"
        assert cfes(PAIRS) == 0
        assert len(server.calls) == len(recorded(folder)) == PAIRS


def test_offline_answers_from_the_ledger_and_counts_what_is_missing(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with LLMServer(flip) as server:
        asked = [*at(server.api_base), "--quiet", "--json"]
        assert call(["cfes", "recipe.yaml", *asked]) == 0
        shown = json.loads(capfd.readouterr().out)
        made = len(server.calls)
        # other k, other method, other run: the same answers
        other = ["--out", "other", "--k", "8", "--set", "methods={lwd: [hard, {use: lwd, weight: 1}]}"]
        assert call(["cfes", "recipe.yaml", *asked, *other]) == 0
        assert len(server.calls) == made
        capfd.readouterr()
    shutil.rmtree(folder / "store" / "pairs")
    assert call(["cfes", "recipe.yaml", *asked, "--offline"]) == 0, "no server, no stored verdict: the ledger suffices"
    assert json.loads(capfd.readouterr().out) == shown
    assert call(["cfes", "recipe.yaml", *asked, "--offline", "--seeds", "7"]) == 1
    told = " ".join(capfd.readouterr().err.split())
    assert "8 of 8 answers of `openai/local` are not in the ledger, and --offline forbids asking for them; run" in told


@pytest.mark.slow
def test_concurrent_runs_on_one_ledger_ask_each_question_once(folder: Path) -> None:
    with LLMServer(slowly) as server:
        both = [started("cfes", "recipe.yaml", *at(server.api_base), "--json", "--out", name) for name in ("a", "b")]
        shown = [process.communicate(timeout=240)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], shown
        assert set(Counter(question(one.body) for one in server.calls).values()) == {1}
    found = [json.loads(text[text.index("{\n") :]) for text in shown]
    assert found[0] == found[1]
    assert len(found[0]["pairs"]) == len(server.calls) == PAIRS


def test_usd_alone_cannot_bound_a_model_without_a_price_and_plan_says_so_as_the_run_does(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = folder / "unpriced.yaml"
    recipe.write_text(RECIPE.replace("methods:", "  budget:\n    usd: 1.0\nmethods:"))
    line = recipe.read_text().splitlines().index("    usd: 1.0") + 1
    for command in (["plan", "unpriced.yaml"], ["cfes", "unpriced.yaml", "--offline", "--quiet"]):
        assert call(command) == 2
        told = capfd.readouterr().err.strip().splitlines()[-1]
        assert told == (
            f"unpriced.yaml:{line}:10: counterfactuals.budget bounds USD alone, but the price of `openai/local` is "
            "unknown; bound `calls` or `tokens` too"
        )
    assert call(["plan", "unpriced.yaml", "--set", "counterfactuals.budget.calls=9"]) == 0
    assert "price unknown" in " ".join(capfd.readouterr().out.split())
    assert call(["plan", "unpriced.yaml", "--set", "counterfactuals.generators.0={use: litellm, model: gpt-4o}"]) == 0
    assert "gpt-4o: 16 to 48 calls" in " ".join(capfd.readouterr().out.split())


def test_a_plan_includes_a_paid_generator_of_the_control(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paid = ["--set", "control={use: litellm, model: gpt-4o}"]
    assert call(["plan", "recipe.yaml", *paid, "--set", "arms=[plain, cod]"]) == 0
    assert "gpt-4o" not in capfd.readouterr().out
    assert call(["plan", "recipe.yaml", *paid, "--set", "arms=[plain, control]"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "gpt-4o: 16 to 80 calls" in told and "openai/local" not in told


def test_the_quality_table_shows_answers_and_further_measures(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every third answer is a refusal; the second round, told so, flips."""

    def answer(call: Call) -> Reply:
        asked = json.loads(call.prompt)
        return flip(call) if "tried" in asked or len(asked["text"]) % 3 else Reply("I'm sorry, I can't help with that.")

    with LLMServer(answer) as server:
        command = ["cfes", "recipe.yaml", *at(server.api_base), "--measure", "similarity=./teacher", "--quiet"]
        assert call([*command, "--json", "--sample", "3"]) == 0
        shown = json.loads(capfd.readouterr().out)
        assert call(command) == 0
        table = capfd.readouterr().out
    assert len(shown["pairs"]) == 3
    rows = {row["name"]: row for row in shown["quality"]}
    assert rows["yield (originals with a verified flip)"]["all"] == 1
    refused = sum("tried" in json.loads(one.prompt) for one in server.calls)
    assert 0 < refused // 2 < PAIRS
    attempts = PAIRS + refused
    assert rows["answers that hold a candidate"]["all"] == pytest.approx(1 - refused / 2 / attempts)
    similarity = rows["similarity (cosine of embeddings)"]
    assert 0 < similarity["all"] == similarity["flipped"] < 1
    assert f"similarity (cosine of embeddings) {similarity['all']:.3f}" in " ".join(table.split())
