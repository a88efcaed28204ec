"""``codrun store`` and ``codrun ledger``: what is listed, what is deleted, what is refused."""

from __future__ import annotations

import io
import json
import os
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cod_runner.api import Ledger, LLMAnswer, LLMRequest
from cod_runner.cli.program import call
from cod_runner.files import open_database
from cod_runner.signal_tables import SCHEMA
from cod_runner.store import Maker, Store, name_of_signals
from cod_runner.store.uses import Uses


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
    assert re.search(r"^ +\d+\.\d kB  llm\.sqlite  written \d{4}-\d\d-\d\d$", said, re.MULTILINE)
    assert "not codrun's, never pruned: llm.sqlite.damaged, llm.sqlite.export.jsonl" in said
    assert call(["store", "prune", "llm.sqlite.export.jsonl", "--yes"]) == 2
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
        assert call(command) == 2
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


# --- what nobody used for a while -----------------------------------------------------------------------------

OLD, NEW, UNKNOWN = "1" * 32, "2" * 32, "3" * 32
LONG_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def kept(home: Path) -> Path:
    """Besides: teachers, models, answers, ... of long ago and of now, some with a note of their use."""
    for name in (
        f"teachers/{OLD}/teacher.json", f"teachers/{NEW}/teacher.json", f"teachers/{UNKNOWN}/teacher.json",
        f"teachers/{OLD}.checkpoint.safetensors", f"teachers/{NEW}.damaged-1/teacher.json", f"models/{OLD}/config.json",
        f"losses/{OLD}/ted.safetensors", f"losses/{NEW}/ted.safetensors", f"embeddings/{OLD}.safetensors",
        "pairs/pairs.sqlite", f"recipes/{OLD}{OLD}", f"signals/hidden/1/ab/{OLD}.safetensors",
        f"signals/hidden/2/ab/{NEW}.safetensors",
    ):  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x" * 50)
        if NEW not in name:
            os.utime(home / name, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    with closing(open_database(home / "signals" / "signals.sqlite", SCHEMA, autocommit=True)) as connection:
        for number in (1, 2, 3):
            connection.execute("insert into teacher values (?, ?, 'cpu', '{}')", (number, f"print {number}"))
            for text in range(5 * number):
                answer = (number, bytes([text]) * 16, b"12345678", b"1234", 0)
                connection.execute("insert into answer values (?, ?, ?, ?, ?)", answer)
                connection.execute("insert into checked values (?, ?, 7)", answer[:2])
    maker = Maker("reviews", "reviews-short")
    for name in (f"teachers/{OLD}", f"models/{OLD}", name_of_signals("print 1", "cpu")):
        Uses(home, now=LONG_AGO).note(name, maker, new=True)
    for name in (f"teachers/{NEW}", name_of_signals("print 2", "cpu")):
        Uses(home).note(name, maker, new=True)
    return home


def names(said: str) -> set[str]:
    return {line.split()[2] for line in said.splitlines() if re.match(r" +[\d.,]+ [kMG]B  ", line)}


def test_each_entry_has_its_size_its_day_and_the_recipe_that_it_was_made_for(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["store", "list"]) == 0
    said = capsys.readouterr().out
    day = f"{LONG_AGO.astimezone():%Y-%m-%d}"
    today = f"{datetime.now():%Y-%m-%d}"
    assert f"    0.1 kB  teachers/{OLD}  used {day}, for reviews\n" in said
    assert f"    0.1 kB  teachers/{OLD}.checkpoint.safetensors  used {day}, for reviews\n" in said
    assert f"    0.1 kB  teachers/{UNKNOWN}  written {day}, for an unknown recipe\n" in said
    assert f"    0.1 kB  models/{OLD}  used {day}, for reviews\n" in said
    assert f"  signals  written {today}, 30 answers of 3 teachers\n" in said
    assert call(["store", "list", "--json"]) == 0
    told = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["entries"]}
    assert (told["signals"]["texts"], told["signals"]["teachers"]) == (30, 3)
    teacher = told[f"teachers/{OLD}"]
    assert (teacher["recipe"], teacher["run"], teacher["bytes"]) == ("reviews", "reviews-short", 50)
    assert teacher["used"] == LONG_AGO.isoformat(timespec="seconds")
    assert told[f"teachers/{UNKNOWN}"]["recipe"] is told[f"teachers/{UNKNOWN}"]["used"] is None


def test_what_no_run_used_goes_and_nothing_else(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goes = {
        f"teachers/{OLD}", f"teachers/{UNKNOWN}", f"teachers/{OLD}.checkpoint.safetensors", f"models/{OLD}",
        f"losses/{OLD}", f"embeddings/{OLD}", name_of_signals("print 1", "cpu"),
    }  # fmt: skip
    before = {path for path in kept.rglob("*") if path.is_file()}
    assert call(["store", "prune", "--unused", "--yes"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"not used for 30 days, in {kept}:\n") and "freed " in said
    assert names(said) == goes
    gone = before - set(kept.rglob("*"))
    assert {path.relative_to(kept).as_posix() for path in gone if not path.name.endswith(("-wal", "-shm"))} == {
        f"teachers/{OLD}/teacher.json", f"teachers/{UNKNOWN}/teacher.json", f"teachers/{OLD}.checkpoint.safetensors",
        f"models/{OLD}/config.json", f"losses/{OLD}/ted.safetensors", f"embeddings/{OLD}.safetensors",
        f"signals/hidden/1/ab/{OLD}.safetensors", f"uses/teachers-{OLD}.json", f"uses/models-{OLD}.json",
        f"uses/{name_of_signals('print 1', 'cpu').replace('/', '-')}.json",
    }  # fmt: skip
    with closing(open_database(kept / "signals" / "signals.sqlite")) as connection:
        for table, column in (("teacher", "id"), ("answer", "teacher"), ("checked", "teacher")):
            left = connection.execute(f"select distinct {column} from {table} order by 1").fetchall()
            assert left == [(2,), (3,)]
    # Whose answers no note tells of: their days have begun to count.
    assert Store().uses.of(name_of_signals("print 3", "cpu")) is not None
    assert call(["store", "prune", "--unused", "--yes"]) == 0
    assert capsys.readouterr().out == f"{kept} holds nothing that no run used for 30 days\n"
    assert call(["store", "prune", "--unused", "--days", "0", "--yes"]) == 0
    assert names(capsys.readouterr().out) == {
        f"teachers/{NEW}", f"teachers/{NEW}.damaged-1", f"losses/{NEW}", name_of_signals("print 2", "cpu"),
        name_of_signals("print 3", "cpu"),
    }  # fmt: skip
    assert {entry.name for entry in Store().entries()} == {"llm.sqlite", "pairs", "recipes", "signals"}


def test_it_asks_first_and_waits_for_runs(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> set[Path]:
        return {path for path in kept.rglob("*") if path.is_file() and path.name != ".lock"}

    Store().unused(30)
    before = files()
    monkeypatch.setattr("typer.confirm", lambda question: (_ for _ in ()).throw(KeyboardInterrupt(question)))
    assert call(["store", "prune", "--unused"]) == 130
    assert before - files() == set()
    for arguments in (["signals"], ["--unused"]):
        monkeypatch.setattr("typer.confirm", lambda question: False)
        assert call(["store", "prune", *arguments]) == 0
        assert capsys.readouterr().out.endswith("nothing was deleted\n")
    monkeypatch.undo()
    monkeypatch.setenv("CODRUN_HOME", str(kept))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert call(["store", "prune", "signals"]) == 2
    said = capsys.readouterr().err
    assert said == "nobody answered `delete signals?`; add --yes where there is nobody to ask\n"
    assert before - files() == set()
    with Store().in_use("the run runs/a"):
        assert call(["store", "prune", "--unused", "--yes"]) == 1
    assert "stays: the run runs/a (process" in capsys.readouterr().err.replace("\n", " ")
    assert before - files() == set()


def test_one_teachers_answers_go_by_name_too(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = name_of_signals("print 2", "cpu")
    assert call(["store", "prune", name, "--yes"]) == 0
    said = capsys.readouterr().out
    assert "  10 answers of one teacher in the database of the signals\n" in said
    assert f"  signals/hidden/2/ab/{NEW}.safetensors\n" in said
    assert {answers.number for answers in Store().answers()} == {1, 3}
    assert call(["store", "prune", "signals", "--yes"]) == 0
    assert not list((kept / "uses").glob("signals-*")) and (kept / "uses" / f"teachers-{OLD}.json").exists()


@pytest.mark.parametrize("arguments", [[], ["signals", "--unused"]])
def test_a_name_or_the_unused(kept: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["store", "prune", *arguments]) == 2
    assert "or give --unused, and not both" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("torn", ["", "[]", '{"used": 3}', '{"used": "2026-01-01T00:00:00"}', "{" * 10_000])
def test_a_torn_note_says_nothing(kept: Path, torn: str) -> None:
    (kept / "uses" / f"teachers-{OLD}.json").write_text(torn)
    assert Store().uses.of(f"teachers/{OLD}") is None
    assert f"teachers/{OLD}" in {entry.name for entry in Store().unused(30)}
