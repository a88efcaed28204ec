"""Runs whose workers, heads, or both are killed in the middle of something: the same results, nothing asked or paid
twice, and nothing left behind."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from test_kills import script

STAGES = ("data", "teacher", "questions", "counterfactuals", "signals", "students", "report")
EXECUTORS = [name for name in ("submitit", "ray") if find_spec(name) is not None]


def trials(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """What is told of each kill; each of them is to have been one."""
    lines = [json.loads(line) for line in script("killed_workers.py", folder, *arguments) if line.startswith("{")]
    return [line for line in lines if "told" in line]


def faults(told: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(one["told"], one["wrong"]) for one in told if one["wrong"]]


def test_heads_and_workers_are_killed_and_the_run_goes_on(tmp_path: Path) -> None:
    told = trials(tmp_path, "plain", "students/all/0.02", "students/worker/0.02", "signals/head/#60")
    assert faults(told) == []
    assert [(one["who"], one["first"], one["workers"] > 0) for one in told] == [
        ("all", -9, True),
        ("worker", 0, True),
        ("head", -9, False),
    ]


@pytest.mark.long
def test_fifty_kills_in_every_stage_with_two_workers(tmp_path: Path) -> None:
    told = trials(tmp_path, "plain", "--moments", 50)
    assert faults(told) == []
    assert Counter(one["stage"] for one in told) == dict.fromkeys(STAGES, 50)
    assert len([one for one in told if one["first"] == -9]) >= 250


@pytest.mark.long
def test_fifty_kills_of_runs_that_pay_and_fetch(tmp_path: Path) -> None:
    told = trials(tmp_path, "paid", "--moments", 7)
    assert faults(told) == []
    assert Counter(one["stage"] for one in told) == dict.fromkeys(STAGES, 7)
    assert sum(one["asked"] > 0 for one in told) == len(told), "the language model was never asked"


@pytest.mark.long
def test_workers_without_disk_or_memory(tmp_path: Path) -> None:
    moments = [f"students/{who}/{tenths / 10}" for who in ("disk", "memory") for tenths in range(6)]
    assert faults(trials(tmp_path, "plain", *moments)) == []


@pytest.mark.long
@pytest.mark.parametrize("executor", EXECUTORS)
def test_heads_and_workers_of_a_cluster_are_killed(tmp_path: Path, executor: str) -> None:
    moments = ["students/head/0.5", "students/head/3", "students/worker/3", "students/all/2", "students/all/8"]
    told = trials(tmp_path, "plain", "--executor", executor, *moments)
    assert faults(told) == []
    assert all(one["workers"] > 0 for one in told if one["who"] != "head")
