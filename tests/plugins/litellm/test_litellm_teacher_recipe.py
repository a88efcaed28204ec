"""A recipe whose one language model is teacher and generator: from the plan to the table, ended and resumed."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from label_server import logs, softmax

from cod_runner.cli import call
from cod_runner.testing.llm_server import Call, LLMServer, Reply, chat_logprobs
from cod_runner.testing.tiny_models import tiny_bert

ADJECTIVES = (("awful", "dull", "weak", "cold"), ("warm", "great", "funny", "bright"))
TEXTS = [
    (f"the {noun} of this {kind} was {adjective}", label)
    for label, adjectives in enumerate(ADJECTIVES)
    for adjective in adjectives
    for noun in ("cast", "plot", "story", "song")
    for kind in ("film", "movie", "show")
]
SWAP = dict(zip((*ADJECTIVES[0], *ADJECTIVES[1]), ADJECTIVES[1] + ADJECTIVES[0], strict=True))
RECIPE = """
recipe: 1
name: one_model
describe: Does the text praise something?
dataset: {use: csv, path: films.csv, text: text, label: label, labels: [bad, fine]}
k: [8]
seeds: [0]
teacher: {use: litellm, model: openai/local, api_base: "BASE", shots: 4, calibration: {texts: 10}}
student: {use: transformers, model: ./student}
counterfactuals:
  generators: [{use: litellm, model: openai/local, api_base: "BASE", prompt: sentiment}]
methods: {kd: [hard, {use: kd, weight: 5}]}
train: {steps: 2, lr: 0.001}
evaluate: {metrics: [accuracy, agreement]}
"""


def both(call: Call) -> Reply:
    """Labels texts by letters, and turns them round."""
    if "logprobs" not in call.body:
        text = json.loads(call.prompt)["text"]
        return Reply(json.dumps({"counterfactual": " ".join(SWAP.get(word, word) for word in text.split())}))
    text = re.findall(r"Text: (.*)", call.prompt)[-1]
    odds = 3.0 if set(text.split()) & {*ADJECTIVES[1]} else -3.0
    listed = dict(re.findall(r"^([AB]): (\w+)$", str(call.body["messages"][0]["content"]), re.MULTILINE))
    sizes = softmax({letter: odds if word == "fine" else 0.5 for letter, word in listed.items()})
    return Reply("A", logprobs=chat_logprobs([logs(sizes)]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{text},{('bad', 'fine')[label]}\n" for text, label in TEXTS)
    (tmp_path / "films.csv").write_text(f"text,label\n{rows}")
    tiny_bert(tmp_path / "student", [text for text, _ in TEXTS])
    return tmp_path


def asked(server: LLMServer) -> Counter[str]:
    """How often each question was answered."""
    return Counter(json.dumps([one.body["messages"], one.body.get("seed")]) for one in server.answered)


def test_one_model_teaches_and_generates_through_a_spent_budget_and_pays_for_nothing_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LLMServer(both) as server:
        (folder / "recipe.yaml").write_text(RECIPE.replace("BASE", server.api_base))
        allowed = ["--allow-host", server.api_base.removeprefix("http://").removesuffix("/v1")]
        assert call(["plan", "recipe.yaml"]) == 0
        plan = " ".join(capsys.readouterr().out.split())
        assert "openai/local" in plan and "calls" in plan and not server.calls
        run = ["run", "recipe.yaml", "--out", "out", *allowed, "--jobs", "1"]
        assert call([*run, "--set", "budget.calls=40"]) == 1
        told = " ".join("".join(capsys.readouterr()).split())
        assert "`calls: 40` has no room" in told
        assert len(server.answered) == 40
        assert call(run) == 0
        told = " ".join("".join(capsys.readouterr()).split())
        spent = json.loads(Path("out/run.json").read_text())
        assert max(asked(server).values()) == 1, "the probe among them: it asks about a text of the prompt"
        paid = len(server.answered)
        assert spent["calls"] == paid
        assert call(["run", "recipe.yaml", "--out", "again", "--offline", *allowed, "--jobs", "1"]) == 0
        assert len(server.answered) == paid
    assert spent["teacher"]["accuracy"] == 1.0
    assert spent["teacher"]["gold_labels"] == 4
    assert "by the letters of the listed labels" in told
    assert Path("again/cells.jsonl").read_text().count("\n") == Path("out/cells.jsonl").read_text().count("\n") == 2
