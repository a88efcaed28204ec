"""Log-probabilities in the ledger: kept with their answer, exported, and read from ledgers that had none."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cod_runner.api import CodrunError, DataError, Ledger, LLMAnswer, LLMRequest
from cod_runner.llm.scores import MOST_ALTERNATIVES, MOST_PROMPT_TOKENS_SCORED, MOST_TOKENS_SCORED

REQUEST = LLMRequest("openai", "openai/m", "http://h/v1", (("user", "hi"),), {"seed": 1}, 0, "generic-v1")
PLAIN = LLMAnswer("hello", "stop", 10, 5, 0.25)
SCORED = replace(
    PLAIN,
    scores=((("A", -0.1), ("B", -2.5), ("🎬", 3.0)), (), (("!", -0.0),)),
    prompt_scores=(("A", None), (" film", -7.25)),
)
FIRST_SCHEMA = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, provider TEXT NOT NULL, model TEXT NOT NULL, base TEXT NOT NULL, question TEXT NOT NULL,
    text TEXT NOT NULL, finish TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    usd REAL, created TEXT NOT NULL, run TEXT NOT NULL);
CREATE TABLE spending (
    run TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, usd REAL, at TEXT NOT NULL);
CREATE INDEX spending_of_a_run ON spending (run);
CREATE TABLE claims (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL, tokens INTEGER NOT NULL, usd REAL);
PRAGMA user_version = 1;
"""


def test_a_request_keeps_the_key_that_its_answer_was_paid_under() -> None:
    assert REQUEST.key == "7191e527cc293922774e24205a3e4bbbf4cdfacfae2e3cbff70c89bef942b52b"
    asked = replace(REQUEST, messages=(("prompt", "Review:"),), parameters={"logprobs": 5, "echo": True})
    assert len({REQUEST.key, asked.key, replace(asked, messages=(("user", "Review:"),)).key}) == 3


def test_log_probabilities_are_there_for_every_later_reader(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", "run")
    ledger.record(REQUEST, SCORED)
    ledger.record(replace(REQUEST, sample=1), PLAIN)
    later = Ledger(tmp_path / "l")
    assert later.claim(REQUEST.key, 1, None) == SCORED
    assert later.answers([replace(REQUEST, sample=1).key]) == {replace(REQUEST, sample=1).key: PLAIN}


def test_an_export_carries_them_and_one_without_them_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a")
    ledger.record(REQUEST, SCORED)
    ledger.record(replace(REQUEST, sample=1), PLAIN)
    ledger.export(tmp_path / "e.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [{"scores", "prompt_scores"} & set(row) for row in rows] == [{"scores", "prompt_scores"}, set()]
    other = Ledger(tmp_path / "b")
    assert other.import_(tmp_path / "e.jsonl") == (2, 0)
    assert other.claim(REQUEST.key, 1, None) == SCORED
    assert list(other.rows()) == list(ledger.rows())


def test_an_answer_is_written_with_its_log_probabilities_or_not_at_all(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", "run")
    assert ledger.claim(REQUEST.key, 1, None) is True
    with closing(sqlite3.connect(tmp_path / "l")) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON scores BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(CodrunError, match=r"cannot be written \(full\)"):
        ledger.record(REQUEST, SCORED)
    assert ledger.answers([REQUEST.key]) == {} and ledger.spent().calls == 0
    with closing(sqlite3.connect(tmp_path / "l")) as connection, connection:
        connection.execute("DROP TRIGGER full")
    ledger.record(REQUEST, SCORED)
    assert ledger.answers([REQUEST.key]) == {REQUEST.key: SCORED}


def test_an_answer_that_is_there_keeps_its_own_log_probabilities(tmp_path: Path) -> None:
    ledger, other = Ledger(tmp_path / "a"), Ledger(tmp_path / "b")
    ledger.record(REQUEST, PLAIN)
    other.record(REQUEST, SCORED)
    other.export(tmp_path / "e.jsonl")
    assert ledger.import_(tmp_path / "e.jsonl") == (0, 1)
    assert ledger.claim(REQUEST.key, 1, None) == PLAIN


def test_what_a_ledger_keeps_of_them_is_bounded(tmp_path: Path) -> None:
    nan, infinite = float("nan"), float("-inf")
    many = tuple((f"t{i}", -float(i)) for i in range(100))
    given = replace(
        PLAIN,
        scores=((("A", nan), ("half \ud83d", -1), ("C", infinite)), *(many,) * 20),
        prompt_scores=((("early", -1.0),) * 1000 + (("late", infinite),)),
    )
    ledger = Ledger(tmp_path / "l")
    ledger.record(REQUEST, given)
    kept = ledger.answers([REQUEST.key])[REQUEST.key]
    assert kept == given.within_bounds == kept.within_bounds
    assert kept.scores is not None and kept.prompt_scores is not None
    assert kept.scores[0] == (("half ?", -1.0),)
    assert [len(each) for each in kept.scores[1:]] == [MOST_ALTERNATIVES] * (MOST_TOKENS_SCORED - 1)
    assert len(kept.prompt_scores) == MOST_PROMPT_TOKENS_SCORED
    assert kept.prompt_scores[-1] == ("late", None), "every token keeps its place"
    assert replace(PLAIN, scores=((("A", nan),),)).within_bounds == PLAIN


def test_a_ledger_of_the_first_schema_is_upgraded_in_place(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "l")) as connection, connection:
        connection.executescript(FIRST_SCHEMA)
        connection.execute(
            "INSERT INTO answers VALUES (?, 'openai', 'openai/m', 'http://h/v1', ?, 'hello', 'stop', 10, 5, 0.25, "
            "'2026-01-01T00:00:00+00:00', 'run')",
            (REQUEST.key, REQUEST.as_json()),
        )
        connection.execute("INSERT INTO spending VALUES ('run', ?, 'answered', 15, 0.25, '')", (REQUEST.key,))
    ledger = Ledger(tmp_path / "l", "run")
    assert ledger.claim(REQUEST.key, 1, None) == PLAIN
    ledger.record(replace(REQUEST, sample=1), SCORED)
    assert Ledger(tmp_path / "l").answers([replace(REQUEST, sample=1).key])[replace(REQUEST, sample=1).key] == SCORED
    assert ledger.spent().calls == 2
    assert len(list(ledger.rows())) == 2


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"scores": 3}', '{"scores": [[["A"]]]}', '{"scores": [[["A", "-1"]]]}',
             '{"scores": [[["A", true]]]}', '{"prompt_scores": [[1, -1]]}', b"\xff"],
)  # fmt: skip
def test_changed_log_probabilities_are_a_sentence(tmp_path: Path, line: object) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.record(REQUEST, SCORED)
    with closing(sqlite3.connect(tmp_path / "l")) as connection, connection:
        connection.execute("UPDATE scores SET line = ?", (line,))
    with pytest.raises(CodrunError, match=r"is damaged \(the log-probabilities of the answer .* were changed\)"):
        ledger.answers([REQUEST.key])
    with pytest.raises(CodrunError, match="is damaged"):
        list(ledger.rows())


@pytest.mark.parametrize(
    "written", ['[[["A", NaN]]]', '[[["A", 1e400]]]', '[[["A"]]]', "[]", "7", '[[["A", -1]],[],[],[],[],[],[],[],[]]']
)
def test_an_export_with_log_probabilities_that_no_ledger_holds_is_named(tmp_path: Path, written: str) -> None:
    ledger = Ledger(tmp_path / "a")
    ledger.record(REQUEST, SCORED)
    (row,) = ledger.rows()
    (tmp_path / "e.jsonl").write_text(json.dumps({**row, "scores": "HERE"}).replace('"HERE"', written))
    with pytest.raises(DataError, match=r"e.jsonl:1: not a line of"):
        Ledger(tmp_path / "b").import_(tmp_path / "e.jsonl")
