"""The store: content keys, what it lists, what it deletes, and what keeps it from deleting."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import platformdirs
import pytest

from cod_runner.errors import CodrunError
from cod_runner.files import announce, file_written_whole, lock, open_database
from cod_runner.llm.ledger import Ledger
from cod_runner.store import Store, content_key

KEY = "0123456789abcdef" * 2


def test_content_key_follows_content_not_order() -> None:
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": [2, 3], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert len(content_key({})) == 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One of everything that codrun keeps, and what others put beside it."""
    root = tmp_path / "home"
    for name, size in {
        f"teachers/{KEY}/teacher.json": 2,
        f"teachers/{KEY}/model.safetensors": 5,
        f"teachers/{KEY}.damaged-1/model.safetensors": 1,
        f"teachers/.{KEY}.lock": 0,
        "teachers/mine/weights": 9,
        "llm.sqlite.owners/00000000000000000000000000000000.lock": 0,
        "llm.sqlite.owners/notes.txt": 1,
        "llm.sqlite.export.jsonl": 20,
        "llm.sqlite.damaged": 20,
        f"signals/hidden/1/ab/{KEY}.safetensors": 3,
        "signals/hidden/1/ab/mine.txt": 3,
        f"losses/{KEY}/ted.safetensors": 4,
        f"embeddings/{KEY}.safetensors": 6,
        f"models/{KEY}/config.json": 2,
        f"models/{KEY}/model.safetensors": 7,
        f"models/.{KEY}.lock": 0,
        "models/mine/config.json": 4,
        f"recipes/{KEY}{KEY}": 0,
        "photographs/holiday.jpg": 99,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x" * size)
    for name in ("llm.sqlite", "pairs/pairs.sqlite", "signals/signals.sqlite"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with closing(open_database(root / name)) as connection:
            connection.execute("create table said (word text)")
    return Store(root)


def present(store: Store) -> set[str]:
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()} - {".lock"}


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        (f"teachers/{KEY}", {f"teachers/{KEY}/teacher.json", f"teachers/{KEY}/model.safetensors"}),
        (f"teachers/{KEY}.damaged-1", {f"teachers/{KEY}.damaged-1/model.safetensors"}),
        ("llm.sqlite", {"llm.sqlite", "llm.sqlite.owners/00000000000000000000000000000000.lock"}),
        ("pairs", {"pairs/pairs.sqlite"}),
        ("signals", {"signals/signals.sqlite", f"signals/hidden/1/ab/{KEY}.safetensors"}),
        ("losses", {f"losses/{KEY}/ted.safetensors"}),
        ("embeddings", {f"embeddings/{KEY}.safetensors"}),
        (f"models/{KEY}", {f"models/{KEY}/config.json", f"models/{KEY}/model.safetensors"}),
        ("recipes", {f"recipes/{KEY}{KEY}"}),
    ],
)
def test_prune_takes_what_it_lists_and_nothing_else(store: Store, name: str, goes: set[str]) -> None:
    before, entry = present(store), store.entry(name)
    freed = entry.bytes
    assert {path.relative_to(store.root).as_posix() for path in entry.files} == goes
    assert store.prune(name) == freed
    assert before - present(store) == goes
    assert not (store.root / f"teachers/{KEY}").exists() or name != f"teachers/{KEY}"


@pytest.mark.parametrize(
    "name",
    ["../elsewhere", "photographs", "teachers", "teachers/mine", "llm.sqlite.export.jsonl", "llm.sqlite.damaged", ".",
     "", "leftovers", f"teachers/.{KEY}.lock", "signals/hidden"],
)  # fmt: skip
def test_what_is_not_ours_cannot_be_named(store: Store, name: str) -> None:
    before = present(store)
    with pytest.raises(CodrunError, match="holds nothing named"):
        store.prune(name)
    assert present(store) == before


def test_the_entries_are_what_is_ours(store: Store) -> None:
    names = {entry.name for entry in store.entries()}
    assert names == {
        f"teachers/{KEY}", f"teachers/{KEY}.damaged-1", "llm.sqlite", "pairs", "signals", "losses",
        "embeddings", "recipes", f"models/{KEY}",
    }  # fmt: skip
    assert store.others() == ["llm.sqlite.damaged", "llm.sqlite.export.jsonl", "photographs"]


def test_a_folder_that_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    for name in ("signals/eeg.csv", "teachers/anna/cv.pdf", "pairs/gloves.txt", "losses/2024.ods"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    for name in ("signals", "teachers/anna", "pairs", "losses"):
        with pytest.raises(CodrunError, match=r"is not a store of codrun.*set CODRUN_HOME"):
            Store(tmp_path).prune(name)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4
    assert Store(tmp_path / "new").entries() == []


def test_nothing_is_pruned_while_a_run_uses_the_store(store: Store) -> None:
    with store.in_use("an earlier run"):
        pass  # which removes what the dead left
    before = present(store)
    with store.in_use("the run runs/a"):
        for entry in store.entries():
            with pytest.raises(
                CodrunError, match=r"stays: the run runs/a \(process \d+\) uses the store .* prune again"
            ):
                store.prune(entry.name)
        assert before <= present(store)
    assert present(store) == before
    assert store.prune("pairs")


def test_a_killed_user_keeps_nothing(store: Store) -> None:
    script = (
        "import os, sys; from pathlib import Path; from cod_runner.store import Store\n"
        "with Store(Path(sys.argv[1])).in_use('a run'):\n    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(store.root)], check=False).returncode == -9
    assert list((store.root / ".users").iterdir())
    assert store.prune("pairs")
    assert not list((store.root / ".users").iterdir())


def test_an_open_ledger_a_live_owner_or_a_held_teacher_stays(store: Store) -> None:
    (store.root / "llm.sqlite").unlink()
    ledger = Ledger.of_store(store.root, "run")
    with pytest.raises(CodrunError, match=r"llm.sqlite stays: another process has .* open"):
        store.prune("llm.sqlite")
    ledger.claim("key", 1, None)
    with pytest.raises(CodrunError, match=r"llm.sqlite stays: another process has .* open"):
        store.prune("llm.sqlite")
    ledger.close()
    assert store.prune("llm.sqlite")
    with (
        lock(store.root / "teachers" / f".{KEY}.lock"),
        pytest.raises(CodrunError, match="another codrun makes or reads this teacher"),
    ):
        store.prune(f"teachers/{KEY}")
    assert (store.root / f"teachers/{KEY}/teacher.json").exists()


def test_a_damaged_database_can_be_pruned(store: Store) -> None:
    (store.root / "llm.sqlite").write_bytes(b"this was a database" * 300)
    assert store.prune("llm.sqlite") == 19 * 300
    assert "llm.sqlite.damaged" in present(store)


def test_a_run_that_begins_waits_for_a_prune_that_deletes(store: Store) -> None:
    begun = threading.Event()

    def begin() -> None:
        with store.in_use("a run"):
            begun.set()

    with lock(store.root / ".lock"):
        thread = threading.Thread(target=begin)
        thread.start()
        assert not begun.wait(0.2)
    thread.join()
    assert begun.is_set()


def test_what_a_killed_run_left_half_written_goes_and_what_is_being_written_stays(store: Store) -> None:
    former = store.teachers / f".{KEY}.a1b2c3d4"
    former.mkdir()
    os.utime(former, (1, 1))
    dead = store.root / "signals" / ".codrun-partial-00000000"
    (dead / "half").mkdir(parents=True)
    with file_written_whole(store.teachers / "new") as temporary:
        temporary.write_text("whole")
        (leftovers,) = [entry for entry in store.entries() if entry.name == "leftovers"]
        assert set(leftovers.paths) == {former, dead}
        with store.in_use("a run"):
            assert not former.exists() and not dead.exists()
            assert temporary.exists()
    assert (store.teachers / "new").read_text() == "whole"


def test_the_lock_of_a_dead_owner_of_a_ledger_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    owners = tmp_path / "llm.sqlite.owners"
    owners.mkdir()
    (owners / "dead.lock").touch()
    living = announce(owners / "living.lock")
    assert living is not None
    with Store(tmp_path).in_use("a run"):
        assert [path.name for path in owners.iterdir()] == ["living.lock"]
    living.release()


@pytest.mark.parametrize("name", ["", "~/kept", "kept"])
def test_codrun_home_is_a_path_as_a_shell_reads_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CODRUN_HOME", name)
    wanted = tmp_path / "kept" if name else Path(platformdirs.user_cache_dir("codrun"))
    assert Store().root == wanted


def test_a_home_of_nobody_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", "~nobody-at-all/x")
    with pytest.raises(CodrunError, match="CODRUN_HOME=~nobody-at-all/x names no folder"):
        Store()


def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file" / "home", Path("/proc/codrun")):
        with pytest.raises(CodrunError, match=rf"the store {root} cannot be written .*CODRUN_HOME"):
            Store(root).in_use("a run").__enter__()
