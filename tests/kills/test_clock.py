"""A clock that is set forward and back while a run goes on: what is measured, waited for and kept does not depend on
it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from killed_recipe import RECIPE

from cod_runner import running
from cod_runner.context import RunSettings
from cod_runner.files import lock, sweep, temporary_folder
from cod_runner.llm import ledger
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs import folder, records
from cod_runner.stages import kept_teacher
from cod_runner.store import Store, uses

DAY = 86_400


class Jumps:
    """A clock that is a day late at every third look, and a day early at every other third."""

    def __init__(self) -> None:
        self._looks = itertools.cycle((DAY, -DAY, 0))
        self._real = time.time

    def time(self) -> float:
        return self._real() + next(self._looks)

    def datetime(self) -> type[datetime]:
        jumps = self

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Jumping:
                return cls.fromtimestamp(jumps.time(), tz)

        return Jumping


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def begin() -> None:
        clock = Jumps()
        monkeypatch.setattr(time, "time", clock.time)
        for module in (folder, records, uses, ledger, kept_teacher):
            monkeypatch.setattr(module, "datetime", clock.datetime())

    return begin


def run(tmp_path: Path, name: str) -> dict[str, Any]:
    registry = Registry.discover()
    loaded = load_recipe(tmp_path / "tiny.yaml", registry)
    running.run(loaded, registry, RunSettings(out=tmp_path / name, jobs=1), Progress(quiet=True))
    record: dict[str, Any] = json.loads((tmp_path / name / "run.json").read_text())
    return record


def cells(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    assert all(line["seconds"] >= line["train_seconds"] >= 0 for line in lines)
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


def test_a_run_takes_no_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jumps: Callable[[], None]) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "undisturbed"))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    run(tmp_path, "steady")
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    jumps()
    for _ in range(2):
        record = run(tmp_path, "jumping")
        assert cells(tmp_path / "jumping") == cells(tmp_path / "steady")
        assert record["started"] <= record["finished"]
        assert 0 < record["seconds"] < DAY / 2
        assert all(0 <= stage["seconds"] < DAY / 2 for stage in record["stages"])
    assert Store().unused(3) == [], "used within two days, whatever the clock says"


def test_locks_are_of_processes_and_not_of_times(tmp_path: Path, jumps: Callable[[], None]) -> None:
    with lock(tmp_path / ".lock"), temporary_folder(tmp_path) as mine:
        jumps()
        for _ in range(3):
            sweep(tmp_path)
        assert mine.is_dir()
        with pytest.raises(Exception, match="in use"), lock(tmp_path / ".lock", wait=False):
            raise AssertionError("the lock was taken twice")


def test_a_use_that_is_noted_in_the_future_keeps_its_entry_no_longer_than_that(tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    name = f"teachers/{'0' * 32}"
    uses.Uses(tmp_path, later).note(name, uses.Maker("r", "r"), new=True)
    uses.Uses(tmp_path).note(name, uses.Maker("r", "r"), new=False)
    used = uses.Uses(tmp_path).of(name)
    assert used is not None and used.used < later, "the clock was mended, and so is the note"
