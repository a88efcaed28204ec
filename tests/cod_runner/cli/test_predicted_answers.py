"""What ``codrun ledger`` shows of the paid answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cod_runner.api import Ledger, LLMAnswer, LLMRequest
from cod_runner.cli import call


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A store with two answers: of known price, and of unknown price with a text that would move the cursor."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path))
    ledger = Ledger.of_store(tmp_path, "run")
    for number, (text, usd) in enumerate((("a good film " * 40, 0.25), ("[bold]\x1b[2J\u202e text", None))):
        messages = (("system", "edit " * 200), ("user", json.dumps({"text": text})))
        asked = LLMRequest("openai", "openai/a-model-with-a-very-long-name", "", messages, {"seed": number}, 0, "t-v1")
        ledger.claim(asked.key, 100, usd)
        ledger.record(asked, LLMAnswer("an answer " * 40, "stop", 10, 5, usd))
    return ledger


@pytest.mark.parametrize("width", [80, 120])
def test_a_list_is_one_line_an_answer_within_the_terminal(
    kept: Ledger, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert call(["ledger", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 + 1
    assert all(len(line) <= width for line in lines)
    assert "0.2500" in lines[1] and "a goo" in lines[1] and "an an" in lines[1]
    assert "unknown" in lines[2] and "[bold]" in lines[2] and "\x1b" not in lines[2] and "\u202e" not in lines[2]
    assert lines[3] == "2 answers, 30 tokens, $0.2500 and 1 of unknown price"


def test_json_is_complete_and_an_empty_ledger_is_no_fault(
    kept: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["ledger", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == list(kept.rows())
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "empty"))
    assert call(["ledger", "list"]) == 0
    assert capsys.readouterr().out == "0 answers, 0 tokens, nothing spent\n"
