"""Runs that are killed with ``kill -9`` and repeated: equal results, and nothing half-written stays."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def script(name: str, *arguments: object) -> list[str]:
    """The lines that a script of this folder prints."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def kills(folder: Path, *moments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in script("killed_runs.py", folder, *moments)]


AT_ONCE = 7
"""Texts of one call of the scorer of ``killed_scorer.py``: what a kill may lose."""


def lost_more_than_a_chunk(told: dict[str, Any]) -> bool:
    kills = str(told["moment"]).count("+") + 1
    return told["code"] != 0 or not told["equal"] or told["strange"] != [] or told["again"] > kills * (AT_ONCE - 1)


def test_a_teacher_that_only_answers_is_asked_nothing_twice_by_a_killed_run(tmp_path: Path) -> None:
    first, *told = map(json.loads, script("killed_scorer.py", tmp_path, 11, "30+12"))
    assert first["texts"] == first["answers"] > 45
    assert [one for one in told if lost_more_than_a_chunk(one) or one["left"]] == []
    assert all(one["again"] > 0 for one in told), "killed between two calls"


@pytest.mark.long
def test_forty_kills_of_runs_with_a_teacher_that_only_answers(tmp_path: Path) -> None:
    drawn = random.Random(0)
    moments = ["+".join(str(drawn.randrange(60)) for _ in range(1 + n % 3)) for n in range(12)]
    moments += [f"{drawn.randrange(900)}ms" for _ in range(16)]
    _, *told = map(json.loads, script("killed_scorer.py", tmp_path, *moments))
    assert len(told) == 28
    assert [one for one in told if lost_more_than_a_chunk(one) or one["left"]] == []


def is_mended(told: dict[str, Any]) -> bool:
    return told["code"] == 0 and told["equal"] and not told["left"]


def test_a_killed_run_continues_to_the_same_numbers_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    _, *told = kills(tmp_path, "teachers", "students")
    assert [one for one in told if not is_mended(one)] == []
    assert all(any("partial" in name for name in one["between"]) for one in told), "killed too late to leave anything"


@pytest.mark.long
def test_eighty_kills(tmp_path: Path) -> None:
    (first,) = kills(tmp_path / "count")
    drawn = random.Random(0)
    moments = [*range(1, first["calls"], first["calls"] // 56), *(f"{drawn.randrange(900)}ms" for _ in range(20))]
    moments += ["run", "teachers", "signals", "students"]
    _, *told = kills(tmp_path / "killed", *moments)
    assert len(told) >= 80
    assert [one for one in told if not is_mended(one)] == []


@pytest.mark.long
def test_a_full_disk_at_twelve_levels(tmp_path: Path) -> None:
    limits = (0, 100, 1_000, 2_000, 3_000, 5_000, 9_000, 20_000, 40_000, 60_000, 100_000, 200_000)
    told = [json.loads(line) for line in script("full_disk.py", tmp_path, *limits)]
    assert [one for one in told if one["full"] not in (0, 1) or one["between"] or one["again"] or one["left"]] == []
    assert len([one for one in told if one["full"] == 1]) >= 8


def test_stores_of_every_kind_open_together(tmp_path: Path) -> None:
    assert script("opened_together.py", tmp_path / "here", 12, 5) == []
    assert script("opened_together.py", tmp_path / "shared", 4, 5, "network") == []


@pytest.mark.long
def test_stores_of_every_kind_open_together_at_length(tmp_path: Path) -> None:
    assert script("opened_together.py", tmp_path / "here", 300, 8) == []
    assert script("opened_together.py", tmp_path / "shared", 100, 8, "network") == []
