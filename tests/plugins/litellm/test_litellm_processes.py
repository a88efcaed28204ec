"""Killed and concurrent runs on one ledger: each answer is paid for exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from word_teacher import WordTeacher, asks, generator

from cod_runner.api import Ledger, Spending
from cod_runner.testing.llm_server import Call, LLMServer, Reply

RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from word_teacher import WordTeacher, asks, generator
from cod_runner.api import Spending
made = generator(Path(sys.argv[2]), sys.argv[3], spending=Spending(run=sys.argv[4]), concurrency=4)
print("ready", flush=True)
sys.stdin.readline()
found = made.propose(asks(int(sys.argv[5])), WordTeacher())
print([one[0].input for one in found], flush=True)
"""


def flip(call: Call) -> Reply:
    text = json.loads(call.prompt)["text"].replace("good", "bad")
    return Reply(json.dumps({"counterfactual": text}), delay=0.1)


def start(store: Path, server: LLMServer, run: str, count: int) -> subprocess.Popen[str]:
    """A process that is about to ask ``count`` questions."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(Path(__file__).parent), str(store), server.api_base, run, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_killed_run_continues_and_requests_no_recorded_answer_again(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        process = start(tmp_path, server, "run", 40)
        go(process)
        deadline = time.monotonic() + 240
        while len(server.answered) < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        time.sleep(0.3)
        recorded = {
            json.loads(row["messages"][-1]["content"])["text"] for row in Ledger(tmp_path / "llm.sqlite").rows()
        }
        asked_before = len(server.calls)
        in_flight = asked_before - len(recorded)
        assert len(recorded) >= 8
        assert 0 <= in_flight <= 8

        resumed = Spending(run="run")
        found = generator(tmp_path, server.api_base, spending=resumed).propose(asks(40), WordTeacher())
        assert [one[0].input for one in found] == [f"a bad film number {i}" for i in range(40)]
        later = [json.loads(call.prompt)["text"] for call in server.calls[asked_before:]]
        assert not set(later) & recorded, "an answer that was recorded was paid for again"
        assert len(later) == len(set(later)) == 40 - len(recorded)
    # calls that the killed process had in flight may be billed, so the run counts them
    assert 40 <= resumed.summary()["calls"] <= 40 + 8


def test_concurrent_runs_make_one_call_per_question(tmp_path: Path) -> None:
    with LLMServer(flip) as server:
        processes = [start(tmp_path, server, f"run{i}", 24) for i in range(2)]
        for process in processes:
            go(process)
        outputs = [process.communicate(timeout=240)[0] for process in processes]
        assert outputs[0] == outputs[1] == f"{[f'a bad film number {i}' for i in range(24)]}\n"
        counts = Counter(call.prompt for call in server.calls)
        assert len(counts) == 24
        assert set(counts.values()) == {1}
    spent = [Ledger(tmp_path / "llm.sqlite", f"run{i}").spent().calls for i in range(2)]
    assert sum(spent) == 24
