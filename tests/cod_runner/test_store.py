"""The store: content keys, what it lists and what it deletes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cod_runner.errors import CodrunError
from cod_runner.store import Store, content_key


def test_content_key_follows_content_not_order() -> None:
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": [2, 3], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert len(content_key({})) == 32


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
