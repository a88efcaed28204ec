"""The store: content keys, writes that are whole or not at all, locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cod_runner.errors import CodrunError
from cod_runner.files import folder_written_whole, lock, write_whole
from cod_runner.store import Store, content_key


def test_content_key_follows_content_not_order() -> None:
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": [2, 3], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert len(content_key({})) == 32


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.txt"
    write_whole(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
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


def test_prune_names_what_it_takes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.teachers / "abc").mkdir()
    (store.teachers / "abc" / "weights").write_text("12345")
    assert [(entry.name, entry.bytes) for entry in store.entries()] == [("teachers/abc", 5)]
    with pytest.raises(CodrunError, match="holds nothing named"):
        store.prune("../elsewhere")
    assert store.prune("teachers/abc") == 5
    assert store.entries() == []


def test_a_database_goes_with_its_logs_and_locks(tmp_path: Path) -> None:
    for name, size in (("llm.sqlite", 7), ("llm.sqlite-wal", 3), ("llm.sqlite.owners/a.lock", 0)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x" * size)
    store = Store(tmp_path)
    assert [(entry.name, entry.bytes) for entry in store.entries()] == [("llm.sqlite", 10)]
    assert store.prune("llm.sqlite") == 10
    assert list(tmp_path.iterdir()) == []
