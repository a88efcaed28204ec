"""A project of its own for each test, a store for all, and pytest called in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from moons_recipe import EXPECT, MOONS

import cod_runner


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher is fine-tuned once for all of these tests, and in this process everything is imported once: pytester
    forgets what was first imported inside it, and parts of torch cannot be imported twice."""
    folder = tmp_path_factory.mktemp("warm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "store"))
        (folder / "moons.yaml").write_text(MOONS)
        cod_runner.run(folder / "moons.yaml", out=folder / "run", jobs=1)
    return folder / "store"


@pytest.fixture(autouse=True)
def one_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(store))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def write(pytester: pytest.Pytester) -> Callable[..., Path]:
    """Write the recipe into the project: ``write("ci/moons.yaml", ("old", "new"), expect="", add="more")``."""

    def written(path: str = "ci/moons.yaml", *replaced: tuple[str, str], expect: str = EXPECT, add: str = "") -> Path:
        text = MOONS + expect + add
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        file = pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return written


@pytest.fixture
def call(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Call pytest in this process; students train one at a time."""
    return lambda *arguments: pytester.runpytest_inprocess("--codrun-jobs=1", *arguments)


@pytest.fixture
def collected(pytester: pytest.Pytester) -> Callable[..., list[str]]:
    """The tests that pytest finds, as ``file::name``."""

    def names(*arguments: str) -> list[str]:
        done = pytester.runpytest_inprocess("--collect-only", "-q", *arguments)
        return [line for line in done.outlines if "::" in line]

    return names
