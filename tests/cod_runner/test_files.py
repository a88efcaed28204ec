"""Writes that are whole or not at all, locks, and SQLite files that several processes open at the same moment."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cod_runner.errors import CodrunError
from cod_runner.files import folder_written_whole, lock, open_database, write_whole

OPENS = """
import sys
from pathlib import Path
from cod_runner.files import open_database

folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    with open_database(folder / f"{number}.sqlite") as connection:
        connection.execute("create table if not exists said (word text)")
        connection.execute("insert into said values ('here')")
    connection.close()
"""
PROCESSES = 6


def test_processes_that_open_new_files_together_all_write(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, text=True, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    for number in range(40):
        with closing(open_database(tmp_path / f"{number}.sqlite")) as connection:
            assert connection.execute("select count(*) from said").fetchone() == (PROCESSES,)
            assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_file_that_is_not_a_database_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_database(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.txt"
    write_whole(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CodrunError, match=r"kept.txt cannot be written \(No space left on device\); free its disk"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), folder_written_whole(tmp_path / "model") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with folder_written_whole(tmp_path / "model") as folder:
        (folder / "weights").write_text("x")
    assert (tmp_path / "model" / "weights").read_text() == "x"


def test_a_held_lock_is_a_sentence(tmp_path: Path) -> None:
    with (
        lock(tmp_path / ".lock"),
        pytest.raises(CodrunError, match="in use"),
        lock(tmp_path / ".lock", wait=False, busy="the folder is in use"),
    ):
        raise AssertionError("the lock was taken twice")
