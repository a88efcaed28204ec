"""Cells as jobs of submitit's local executor: nothing lost with a worker or a head, nothing left.

That a whole run gives the same bytes is shown for every executor in ``tests/plugins/test_executors_equal.py``.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dying import dies, dies_once, sleeps

from cod_runner.answers import RemoteTraceback
from cod_runner.api import BuildContext, CodrunError
from cod_runner.testing.tasks import RefusedTask, halved
from codrun_submitit.executor import Submitit
from codrun_submitit.options import SubmititOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_runs import cells_of, ran, tiny_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason='needs `pip install "codrun[submitit]"`'),
]
PATIENCE = 240.0


@pytest.fixture(autouse=True)
def jobs_find_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def executor(run: Path | None, said: list[str] | None = None, **options: Any) -> Submitit:
    say = (lambda sentence: None) if said is None else said.append
    return Submitit(SubmititOptions(cluster="local", **options), BuildContext(run=run, say=say))


def until(there: Any) -> None:
    ends = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"


def test_a_killed_worker_s_task_is_begun_anew_and_answers_before_it_are_kept(tmp_path: Path) -> None:
    said: list[str] = []
    tasks = [(tmp_path, number) for number in (1, 2, 3)]
    assert list(executor(tmp_path, said, cells_per_job=3).map(dies_once, tasks, 1)) == [1, 2, 3]
    assert (tmp_path / "begun").read_text().split() == ["1", "2", "2", "3"]
    (death,) = said
    assert death.startswith(f"the worker process of the cell {tasks[1]} died (job ")
    assert death.endswith("begins anew, attempt 2 of 3")
    (log,) = (tmp_path / "submitit").rglob("*.err")
    assert str(log) in death


def test_work_that_always_dies_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match="the worker process of the cell 1 died 3 times without an error message"):
        list(executor(tmp_path).map(dies, [1], 1))
    assert {path.suffix for path in (tmp_path / "submitit").rglob("*.*")} == {".err", ".out"}


def test_an_exception_comes_home_as_itself_and_ends_the_other_jobs(tmp_path: Path) -> None:
    with pytest.raises(RefusedTask, match="3 is odd") as caught:
        list(executor(tmp_path).map(halved, [3, 2], 1))
    assert isinstance(caught.value.__cause__, RemoteTraceback) and "in halved" in str(caught.value.__cause__)
    assert not (tmp_path / "submitit").exists()


def test_whoever_takes_no_more_results_leaves_no_process(tmp_path: Path) -> None:
    results = executor(tmp_path).map(sleeps, [(tmp_path, 0.0), (tmp_path, 600.0)], 2)
    next(results)
    until(lambda: sum(path.name.isdecimal() for path in tmp_path.iterdir()) == 2)
    results.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.isdecimal() and alive(int(path.name))] == []
    assert not (tmp_path / "submitit").exists()


def test_a_head_that_is_killed_leaves_no_process_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    expected = ran(tmp_path, "processes", jobs=1, overrides=["train.steps=1500"])
    recipe = tiny_recipe(tmp_path, "{use: submitit, cluster: local}", steps=1500)
    command = [sys.executable, "-c", "from cod_runner.cli import main; main()", str(recipe), "--jobs", "1"]
    command += ["--device", "cpu", "--out", str(tmp_path / "run")]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        cells = tmp_path / "run" / "cells.jsonl"
        until(lambda: cells.exists() and cells.read_text().count("\n") >= 1)
        until(lambda: list((tmp_path / "run" / "submitit").glob("*/*.pkl")))
        name = next((tmp_path / "run" / "submitit").iterdir()).name
    finally:
        head.send_signal(signal.SIGKILL)
        head.wait()
    until(lambda: not running(name))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert cells_of(tmp_path / "run") == expected
    assert not (tmp_path / "run" / "submitit").exists()


def running(name: str) -> list[str]:
    """The processes whose command line has the name in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in path.read_text(errors="replace"):
                found.append(path.parent.name)
        except OSError:  # it has just ended
            continue
    return found
