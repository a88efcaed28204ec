"""Writes that are whole or not at all, locks, and SQLite files that several processes open at the same moment."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cod_runner import files
from cod_runner.errors import CodrunError
from cod_runner.files import (
    abandoned,
    append_line,
    file_written_whole,
    folder_written_whole,
    is_locked,
    leave_wal,
    lock,
    open_database,
    sweep,
    when_free,
    write_whole,
)

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
        _, errors = process.communicate(timeout=240)
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


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from cod_runner.files import folder_written_whole\n"
        "with folder_written_whole(Path(sys.argv[1]) / 'model') as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    (dead,) = tmp_path.iterdir()
    with file_written_whole(tmp_path / "other") as temporary:
        temporary.write_text("whole")
        assert abandoned(tmp_path) == [dead]
        sweep(tmp_path)
        assert temporary.exists() and not dead.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_only_names_of_ours_are_swept(tmp_path: Path) -> None:
    for name in (".codrun-partial-mine", ".codrun-partial-12345678.d", "codrun-partial-12345678", ".model.abcdefgh"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1, 1))
    full = tmp_path / ".codrun-partial-12345678"
    for name in ("one", "two", "lock"):
        (full / name).mkdir(parents=True)
    (tmp_path / ".codrun-partial-abcdefgh").symlink_to(full)
    (tmp_path / ".other.abcdefgh").mkdir()  # of today
    before = {path.name for path in tmp_path.iterdir()}
    sweep(tmp_path, "other")
    assert {path.name for path in tmp_path.iterdir()} == before
    sweep(tmp_path, "model")
    assert before - {path.name for path in tmp_path.iterdir()} == {".model.abcdefgh"}


def test_a_sweep_between_making_and_locking_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = files.tempfile.mkdtemp
    times = 0

    def swept(**named: object) -> str:
        nonlocal times
        folder = made(**named)  # type: ignore[call-overload]
        times += 1
        if times == 1:
            sweep(tmp_path)
        return str(folder)

    monkeypatch.setattr(files.tempfile, "mkdtemp", swept)
    write_whole(tmp_path / "kept", "whole")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept", "whole")]


def test_writers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    ended, swept = threading.Event(), 0

    def sweeping() -> None:
        nonlocal swept
        while not ended.is_set():
            sweep(tmp_path)
        swept += 1

    sweepers = [threading.Thread(target=sweeping) for _ in range(3)]
    for thread in sweepers:
        thread.start()
    for number in range(100):
        write_whole(tmp_path / f"{number}", f"{number}")
    ended.set()
    for thread in sweepers:
        thread.join()
    assert swept == 3, "one of them ended in an error"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{n}": f"{n}" for n in range(100)}


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    """Whatever statement meets the lock; SQLite's own time-out does not cover all of them."""
    tries = 0

    def locked() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY if tries == 1 else sqlite3.SQLITE_PROTOCOL
            raise error
        return "done"

    assert when_free(locked) == "done"
    with closing(open_database(tmp_path / "held.sqlite", "create table if not exists said (word text);")) as holder:
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            leave_wal(tmp_path / "held.sqlite", seconds=0.1)
        assert is_locked(caught.value)
        holder.execute("select * from said")
    leave_wal(tmp_path / "held.sqlite")


def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CodrunError, match=r"file/\.lock cannot be locked \(.*\); name a folder"),
        lock(tmp_path / "file" / ".lock"),
    ):
        raise AssertionError("locked")


WRITES = """
import sys
from pathlib import Path
from cod_runner.files import folder_written_whole

print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    with folder_written_whole(Path(sys.argv[1]) / "student") as folder:
        for name in ("config", "vocabulary", "weights"):
            (folder / name).write_text(sys.argv[2])
"""


def test_a_folder_that_processes_write_at_once_is_that_of_one_of_them(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [
        subprocess.Popen([sys.executable, "-c", WRITES, str(tmp_path), word], text=True, **pipes)  # type: ignore[call-overload]
        for word in ("one", "another", "third")
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    written = {path.name: path.read_text() for path in (tmp_path / "student").iterdir()}
    assert set(written) == {"config", "vocabulary", "weights"} and len(set(written.values())) == 1


def test_a_kill_while_a_folder_is_replaced_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from cod_runner.files import folder_written_whole\n"
        "real, left = os.rename, int(sys.argv[2])\n"
        "def dies(*given):\n"
        "    global left; left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), 9)\n"
        "    return real(*given)\n"
        "os.rename = dies\n"
        "with folder_written_whole(Path(sys.argv[1]) / 'model') as folder:\n"
        "    [(folder / name).write_text('new') for name in 'ab']"
    )
    found = []
    for renames in range(4):
        model = tmp_path / str(renames) / "model"
        model.mkdir(parents=True)
        for name in "ab":
            (model / name).write_text("old")
        subprocess.run([sys.executable, "-c", script, str(model.parent), str(renames)], check=False)
        sweep(model.parent)
        assert [path.name for path in model.parent.iterdir()] in ([], ["model"])
        found.append([path.read_text() for path in model.glob("*")])
    assert found == [["old", "old"], ["old", "old"], [], ["new", "new"]]


def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a person's")
    with (
        pytest.raises(CodrunError, match=r"model cannot be written \(Not a directory\)"),
        folder_written_whole(tmp_path / "model"),
    ):
        pass
    assert (tmp_path / "model").read_text() == "a person's"


def test_a_line_is_appended_to_whole_lines_and_behind_a_torn_one(tmp_path: Path) -> None:
    file = tmp_path / "made" / "lines.jsonl"
    append_line(file, "one")
    append_line(file, "twö")
    assert file.read_bytes() == "one\ntwö\n".encode()
    file.write_bytes(b"one\ntor")
    append_line(file, "three")
    assert file.read_bytes() == b"one\ntor\nthree\n"
