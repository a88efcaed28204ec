"""``codrun store`` and ``codrun ledger``: what is listed, what is deleted, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cod_runner.api import Ledger, LLMAnswer, LLMRequest
from cod_runner.cli.program import call
from cod_runner.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one paid answer, an export beside it, and a database set aside by hand."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    ledger = Ledger.of_store(tmp_path / "home", "run")
    ledger.record(LLMRequest("p", "m", "b", (("user", "hi"),), {}, 0, "t"), LLMAnswer("hello", "stop", 1, 1, None))
    ledger.close()
    (tmp_path / "home" / "llm.sqlite.export.jsonl").write_text("paid for")
    (tmp_path / "home" / "llm.sqlite.damaged").write_text("paid for too")
    return tmp_path / "home"


def test_prune_lists_what_goes_and_takes_no_more(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["store", "list"]) == 0
    said = capsys.readouterr().out
    assert "MB  llm.sqlite\n" in said
    assert "not codrun's, never pruned: llm.sqlite.damaged, llm.sqlite.export.jsonl" in said
    assert call(["store", "prune", "llm.sqlite.export.jsonl", "--yes"]) == 1
    assert "holds nothing named `llm.sqlite.export.jsonl`" in capsys.readouterr().err
    assert call(["store", "prune", "llm.sqlite", "--yes"]) == 0
    assert f"from {home}:\n  llm.sqlite\nfreed" in capsys.readouterr().out
    assert {path.name for path in home.iterdir() if path.is_file()} == {
        "llm.sqlite.export.jsonl", "llm.sqlite.damaged", ".lock",
    }  # fmt: skip


def test_a_prune_during_a_search_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store().in_use("the run runs/a"):
        assert call(["store", "prune", "llm.sqlite", "--yes"]) == 1
    assert "llm.sqlite stays: the run runs/a (process" in capsys.readouterr().err.replace("\n", " ")
    assert call(["ledger", "list"]) == 0
    assert "1 answers" in capsys.readouterr().out


def test_a_folder_of_something_else_is_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "holiday.jpg").write_text("x")
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path))
    for command in (["store", "list"], ["store", "prune", "photographs", "--yes"]):
        assert call(command) == 1
        assert "is not a store of codrun" in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "photographs" / "holiday.jpg").exists()


def test_an_export_names_a_folder_that_is_not_there_yet_or_a_file_in_its_way(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["ledger", "export", str(tmp_path / "new" / "e.jsonl")]) == 0
    assert (tmp_path / "new" / "e.jsonl").read_text().count("\n") == 1
    assert call(["ledger", "export", str(tmp_path / "new" / "e.jsonl" / "f")]) == 1
    assert "e.jsonl/f cannot be written" in capsys.readouterr().err.replace("\n", "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["e.jsonl"]
