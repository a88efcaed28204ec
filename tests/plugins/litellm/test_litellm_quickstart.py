"""The quickstart with its generator swapped for a language model on a local server: the same kind of table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cod_runner.cli import call
from cod_runner.testing.llm_server import Call, LLMServer, Reply

RECIPES = Path(__file__).parents[3] / "recipes"
SMALL = [
    "--k", "8", "--seeds", "0", "--arms", "cod", "--set", "teacher.finetune.rows=400", "--set", "train.steps=10",
    "--set", "dataset={use: rotten_tomatoes, hold_out: {validation: {of: train, rows: 100}}}",
]  # fmt: skip
"""A quickstart of half a minute, most of which is the teacher's fine-tuning."""


@pytest.mark.slow
def test_llm_local_gives_the_quickstarts_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server's answers are the lexicon's, so that the two runs can be compared pair by pair."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    assert call(["run", str(RECIPES / "quickstart.yaml"), *SMALL, "--out", "lexicon", "--quiet"]) == 0
    capfd.readouterr()
    made = [json.loads(line) for line in Path("lexicon/counterfactuals.jsonl").read_text().splitlines()]
    answers = {pair["original"]: pair["counterfactual"] for pair in made if pair["verified"]}
    asked: list[dict] = []

    def answer(one: Call) -> Reply:
        asked.append(json.loads(one.prompt))
        return Reply(json.dumps({"counterfactual": answers.get(asked[-1]["text"], asked[-1]["text"])}))

    with LLMServer(answer) as server:
        local = [str(RECIPES / "llm_local.yaml"), *SMALL, "--out", "llm", "--quiet"]
        base = ["--set", f"counterfactuals.generators.0.api_base={server.api_base}"]
        assert call(["validate", local[0], *base]) == 0
        assert call(["plan", local[0], *base]) == 0
        assert "openai/local: 40 to 200 calls" in " ".join(capfd.readouterr().out.split())
        assert call(["run", *local, *base]) == 0
    found = [json.loads(line) for line in Path("llm/counterfactuals.jsonl").read_text().splitlines()]
    same = ("source_id", "original", "counterfactual", "label", "teacher_before", "teacher_after", "verified")
    assert [[pair[name] for name in same] for pair in found if pair["verified"]] == [
        [pair[name] for name in same] for pair in made if pair["verified"]
    ]
    assert {pair["generator"] for pair in found if pair["verified"]} == {"litellm"}
    assert all(1 <= len(one["words_that_matter"]) <= 3 for one in asked)
    tables = [Path(run, "table.md").read_text() for run in ("lexicon", "llm")]
    assert tables[0].splitlines()[-8:] == tables[1].splitlines()[-8:]
    record = json.loads(Path("llm/run.json").read_text())
    assert record["calls"] == len(asked) and record["cost"] is None
