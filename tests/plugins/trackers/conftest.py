"""Where runs are followed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("followed")


@pytest.fixture
def called(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a test calls codrun, with a store that all of them share."""
    monkeypatch.setenv("CODRUN_HOME", str(place / "store"))
    return tmp_path
