from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cod_runner.api import CodrunError, DataError, Ledger, LLMAnswer, LLMRequest
from cod_runner.cli.answers import show_answers
from cod_runner.files import open_database
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS

REQUEST = LLMRequest("openai", "openai/m", "http://h/v1", (("user", "hi"),), {"seed": 1}, 0, "generic-v1")
ANSWER = LLMAnswer("hello", "stop", 10, 5, 0.25)


def test_an_answer_is_available_to_every_later_reader(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "deep" / "llm.sqlite", "run")
    assert first.claim(REQUEST.key, 100, 1.0) is True
    first.record(REQUEST, ANSWER)
    second = Ledger(tmp_path / "deep" / "llm.sqlite")
    assert second.claim(REQUEST.key, 100, 1.0) == ANSWER
    assert second.answers([REQUEST.key, "other"]) == {REQUEST.key: ANSWER}
    assert first.spent().calls == 1 and first.spent().tokens == 15 and first.spent().usd == 0.25
    assert second.spent().calls == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"provider": "x"}, {"model": "x"}, {"base": "x"}, {"messages": (("user", "ho"),)},
        {"messages": (("system", "hi"),)}, {"parameters": {"seed": 2}}, {"sample": 1}, {"template": "generic-v2"},
    ],
)  # fmt: skip
def test_everything_in_a_request_is_in_its_key(changed: dict) -> None:
    assert replace(REQUEST, **changed).key != REQUEST.key
    assert replace(REQUEST, parameters={**REQUEST.parameters}).key == REQUEST.key


def test_a_live_claim_blocks_others_until_it_ends(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "l"), Ledger(tmp_path / "l")
    assert one.claim(REQUEST.key, 1, None) is True
    assert other.claim(REQUEST.key, 1, None) is False
    other.give_up(REQUEST.key)
    assert other.claim(REQUEST.key, 1, None) is False, "only its owner can end a claim"
    one.give_up(REQUEST.key)
    assert other.claim(REQUEST.key, 1, None) is True
    other.close()
    assert one.claim(REQUEST.key, 1, None) is True, "closing releases the claim"


def test_a_killed_owners_claim_is_free_at_once_and_counts_as_spent(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from cod_runner.api import Ledger\n"
        f"assert Ledger(Path(sys.argv[1]), 'run').claim({REQUEST.key!r}, 70, 0.5) is True\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "l")], check=False)
    assert done.returncode == -9
    ledger = Ledger(tmp_path / "l", "run")
    assert ledger.claim(REQUEST.key, 1, None) is True
    spent = ledger.spent()
    assert (spent.calls, spent.tokens, spent.usd) == (1, 70, 0.5)


def test_owners_leave_no_files_behind(tmp_path: Path) -> None:
    dead = tmp_path / "l.owners" / "dead.lock"
    dead.parent.mkdir()
    dead.touch()
    ledger = Ledger(tmp_path / "l")
    ledger.claim(REQUEST.key, 1, None)
    assert len(list(dead.parent.iterdir())) == 1
    del ledger
    assert not list(dead.parent.iterdir())


def test_one_of_many_threads_gets_the_claim(tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path / "l") for _ in range(4)]
    won: list[object] = []
    threads = [
        threading.Thread(target=lambda ledger=ledger: won.append(ledger.claim(REQUEST.key, 1, None)))
        for ledger in ledgers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, won)) == ["False", "False", "False", "True"]


def test_unanswered_calls_count(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", "run")
    ledger.unanswered(REQUEST.key, 30, None)
    assert ledger.spent().calls == ledger.spent().unpriced_calls == 1


def test_export_and_import_preserve_everything(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a")
    for number, text in enumerate((*UNTRUSTED_TEXTS, "half \ud83d pair")):
        ledger.record(replace(REQUEST, messages=(("user", text),), sample=number), replace(ANSWER, text=text))
    ledger.record(REQUEST, replace(ANSWER, usd=None))
    count = len(UNTRUSTED_TEXTS) + 2
    assert ledger.export(tmp_path / "e.jsonl") == count
    other = Ledger(tmp_path / "b")
    assert other.import_(tmp_path / "e.jsonl") == (count, 0)
    assert other.import_(tmp_path / "e.jsonl") == (0, count)
    assert list(other.rows()) == list(ledger.rows())
    assert other.spent().calls == 0, "answers that someone else paid for cost this run nothing"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda row: {**row, "text": 1, "sample": "x"}, "e.jsonl:2: not a line of"),
        (lambda row: {**row, "model": "another"}, "e.jsonl:2: the request does not belong to its key"),
        (lambda row: {key: row[key] for key in row if key != "usd"}, "e.jsonl:2: not a line of"),
        (lambda row: [row], "e.jsonl:2: not a line of"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, change, sentence: str) -> None:
    ledger = Ledger(tmp_path / "a")
    ledger.record(REQUEST, ANSWER)
    (row,) = ledger.rows()
    file = tmp_path / "e.jsonl"
    file.write_text(f"{json.dumps(row)}\n{json.dumps(change(row))}\n")
    other = Ledger(tmp_path / "b")
    with pytest.raises(DataError, match=sentence):
        other.import_(file)
    assert not list(other.rows())


def test_a_damaged_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"this is not a database" * 100)
    with pytest.raises(CodrunError, match=r"cannot be opened .* move it away"):
        Ledger(tmp_path / "l")


def test_a_ledger_at_its_former_place_is_moved_and_nothing_is_paid_again(tmp_path: Path) -> None:
    former = Ledger(tmp_path / "answers" / "llm.sqlite", "run")
    assert former.claim(REQUEST.key, 100, 1.0) is True
    former.record(REQUEST, ANSWER)
    with pytest.raises(CodrunError, match=r"cannot be moved to .*; wait until every other codrun has ended"):
        Ledger.of_store(tmp_path)
    assert former.answers([REQUEST.key]) == {REQUEST.key: ANSWER}, "an open ledger is not moved"
    former.close()
    moved = Ledger.of_store(tmp_path, "run")
    assert moved.path == tmp_path / "llm.sqlite"
    assert moved.answers([REQUEST.key]) == {REQUEST.key: ANSWER}
    assert moved.spent().calls == 1
    assert not (tmp_path / "answers" / "llm.sqlite").exists()
    assert Ledger.of_store(tmp_path / "new").answers([REQUEST.key]) == {}


def test_answers_recorded_in_quick_succession_survive_a_kill(tmp_path: Path) -> None:
    """Only the first of them waits for the disk; a kill loses none of the others either."""
    script = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "from cod_runner.api import Ledger, LLMAnswer, LLMRequest\n"
        "ledger = Ledger(Path(sys.argv[1]), 'run')\n"
        f"asked = [replace({REQUEST!r}, sample=number) for number in range(20)]\n"
        "for one in asked:\n"
        "    ledger.claim(one.key, 1, None)\n"
        f"    ledger.record(one, {ANSWER!r})\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "l")], check=False)
    ledger = Ledger(tmp_path / "l", "run")
    assert sum(1 for _ in ledger.rows()) == ledger.spent().calls == 20
    ledger.sync()
    assert (tmp_path / "l").stat().st_size > 4096, "recorded answers are in the file itself, not only in its log"


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("usd", "1e400"), ("usd", "-0.5"), ("usd", "NaN"), ("usd", "Infinity"), ("usd", "1e30"), ("usd", '"free"'),
        ("tokens_in", "1" + "0" * 30), ("tokens_in", "-3"), ("tokens_out", "1e400"), ("tokens_out", "1" * 5000),
        ("created", '""'), ("created", '"yesterday"'), ("created", "null"), ("finish", '"\\ud800"'),
        ("model", '"\\ud800"'), ("sample", "1e400"), ("sample", "1" * 5000), ("parameters", '{"seed": NaN}'),
        ("parameters", '{"seed": 1e400}'), ("parameters", "3"), ("messages", DEEP), ("messages", "[3]"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_a_line_that_no_ledger_can_hold_is_named(tmp_path: Path, name: str, written: str) -> None:
    ledger = Ledger(tmp_path / "a")
    ledger.record(REQUEST, ANSWER)
    (row,) = ledger.rows()
    line = json.dumps({**row, name: "HERE"}).replace('"HERE"', written)
    file = tmp_path / "e.jsonl"
    file.write_text(f"{json.dumps(row)}\n{line}\n")
    other = Ledger(tmp_path / "b")
    with pytest.raises(DataError, match=r"e.jsonl:2: not a line of"):
        other.import_(file)
    assert not list(other.rows())


def test_what_earlier_versions_let_in_is_still_listed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    strange = ((float("inf"), 10, ""), (-1.0, -4, "then"), (float("nan"), 2**62, "2026-01-01T00:00:00+00:00"))
    with closing(open_database(tmp_path / "l")) as connection, connection:
        for number, (usd, tokens, created) in enumerate(strange):
            one = replace(REQUEST, sample=number)
            connection.execute(
                "INSERT INTO answers VALUES (?, 'p', 'm', 'b', ?, 'text', 'stop', ?, 1, ?, ?, '')",
                (one.key, one.as_json(), tokens, usd, created),
            )
    rows = list(ledger.rows())
    assert sorted(row["tokens_in"] for row in rows) == [0, 10, 10**9]
    assert [row["usd"] for row in rows] == [None] * 3
    console = Console(file=StringIO(), width=120)
    show_answers(console, rows)
    assert "3 answers" in console.file.getvalue()  # type: ignore[attr-defined]
    ledger.export(tmp_path / "e.jsonl")
    assert set(ledger.answers([replace(REQUEST, sample=0).key])) == {replace(REQUEST, sample=0).key}


@pytest.mark.parametrize("tokens", [10**30, -5])
def test_an_answer_with_an_impossible_usage_is_kept_all_the_same(tmp_path: Path, tokens: int) -> None:
    ledger = Ledger(tmp_path / "l", "run")
    ledger.record(REQUEST, LLMAnswer("paid", "st\ud800p", tokens, tokens, float("nan")))
    assert ledger.answers([REQUEST.key])[REQUEST.key].text == "paid"
    assert ledger.spent().calls == 1


def test_an_export_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.record(REQUEST, ANSWER)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(CodrunError, match=r"e.jsonl cannot be written \(No space left on device\)"):
        ledger.export(tmp_path / "out" / "e.jsonl")
    assert not list((tmp_path / "out").iterdir())


def test_damaged_inner_pages_are_a_sentence_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "l"
    ledger = Ledger(path)
    asked = [replace(REQUEST, sample=number) for number in range(300)]
    for one in asked:
        ledger.record(one, ANSWER)
    ledger.close()
    content = bytearray(path.read_bytes())
    assert len(content) > 20 * 4096
    content[4096 : len(content)] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    damaged = Ledger(path, "run")
    for ask in (
        lambda: damaged.answers([one.key for one in asked]),
        lambda: damaged.knows("openai/m"),
        lambda: list(damaged.rows()),
        lambda: damaged.export(tmp_path / "e.jsonl"),
        lambda: damaged.record(replace(REQUEST, sample=-1), ANSWER),
        lambda: damaged.claim("key", 1, None),
        lambda: damaged.spent(),
        lambda: damaged.give_up("key"),
    ):
        with pytest.raises(CodrunError, match=rf"{path} is damaged .*; move it away and import an export"):
            ask()
    assert not (tmp_path / "e.jsonl").exists()


def test_an_owner_that_was_killed_is_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "l.owners").mkdir()
    (tmp_path / "l.owners" / "dead.lock").touch()
    living, ledger = Ledger(tmp_path / "l"), Ledger(tmp_path / "l")
    living.claim(REQUEST.key, 1, None)
    ledger.claim("other", 1, None)
    assert len(list((tmp_path / "l.owners").iterdir())) == 2
    assert ledger.claim(REQUEST.key, 1, None) is False
