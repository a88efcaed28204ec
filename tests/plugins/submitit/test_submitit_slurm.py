"""Cells as Slurm jobs, on a stand-in for Slurm whose jobs outlive who submitted them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_slurm
import pytest
from dying import dies_once, out_of_time_at_two

from cod_runner.api import BuildContext, CodrunError, SettingError
from cod_runner.testing.tasks import RefusedTask, halved
from codrun_submitit import executor as submitit_executor
from codrun_submitit import slurm
from codrun_submitit.executor import Submitit
from codrun_submitit.options import SubmititOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason='needs `pip install "codrun[submitit]"`'),
]
PATIENCE = 240.0


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "slurm"
    place.mkdir()
    fake_slurm.install(place)
    monkeypatch.setenv("FAKE_SLURM", str(place))
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN", 0.5)
    monkeypatch.setattr(submitit_executor, "SECONDS_TO_APPEAR", 0.5)
    monkeypatch.setattr(submitit_executor, "SLURM_PAUSE", 0.1)
    return place


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def executor(run: Path, said: list[str] | None = None, **options: Any) -> Submitit:
    say = (lambda sentence: None) if said is None else said.append
    return Submitit(SubmititOptions.model_validate(options), BuildContext(run=run, say=say))


def until(there: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_an_array_with_the_resources_of_the_recipe(run: Path, cluster: Path) -> None:
    options = {
        "partition": "gpu,long", "account": "proj", "qos": "low", "time": "2h", "gpus": 2, "cpus": 3,
        "memory": "8GiB", "cells_per_job": 2, "slurm": {"constraint": "a100|h100", "nice": 5},
    }  # fmt: skip
    found = executor(run, **options).map(halved, [2, 4, 6, 8, 10], 2)
    assert sorted(found) == [(2, 1), (4, 2), (6, 3), (8, 4), (10, 5)]
    (script,) = cluster.glob("*.submitted")
    flags = fake_slurm.flags(script.read_text())
    assert (flags["partition"], flags["account"], flags["qos"], flags["constraint"], flags["nice"]) == (
        "gpu,long", "proj", "low", "a100|h100", "5"
    )  # fmt: skip
    assert (flags["time"], flags["gpus-per-node"], flags["cpus-per-task"], flags["mem"], flags["array"]) == (
        "120", "2", "3", "8GB", "0-2%2"
    )  # fmt: skip
    assert not (run / "submitit").exists()


def test_what_slurm_refuses_is_said_in_its_words(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CodrunError) as caught:
        list(executor(run, partition="nope").map(halved, [2, 4], 2))
    assert str(caught.value) == (
        "Slurm refused the job: sbatch: error: invalid partition specified: nope; mend the options of the executor "
        "`submitit`"
    )
    assert capfd.readouterr() == ("", "") and not (run / "submitit").exists()


def test_a_job_that_dies_is_submitted_again_without_what_it_answered(run: Path) -> None:
    said: list[str] = []
    tasks = [(run, number) for number in (1, 2, 3)]
    assert sorted(executor(run, said, cells_per_job=3).map(dies_once, tasks, 1)) == [1, 2, 3]
    assert (run / "begun").read_text().split() == ["1", "2", "2", "3"]
    (log,) = (run / "submitit").rglob("*.err")
    cell = f"the worker process of the cell {tasks[1]}"
    assert said == [f"{cell} died (job 1: NODE_FAIL; its log: {log}); the cell begins anew, attempt 2 of 3"]


def test_a_job_whose_time_is_over_goes_on_in_another_where_it_came_forward(run: Path) -> None:
    said: list[str] = []
    tasks = [(run, number) for number in (1, 2, 3)]
    assert sorted(executor(run, said, cells_per_job=3).map(out_of_time_at_two, tasks, 1)) == [1, 2, 3]
    assert (run / "begun").read_text().split() == ["1", "2", "2", "3"] and said == []
    with pytest.raises(SettingError, match="a job's `time` was over before a cell had ended: give it more") as caught:
        list(executor(run).map(out_of_time_at_two, [(run, 5)], 1))
    assert caught.value.setting == ("time",)


def test_an_exception_cancels_the_other_jobs(run: Path, cluster: Path) -> None:
    with pytest.raises(RefusedTask, match="3 is odd"):
        list(executor(run).map(halved, [2, 3, 4, 6], 4))
    assert not [path for path in cluster.glob("*.job") if fake_slurm.runs(int(path.read_text().split()[0]))]
    assert not (run / "submitit").exists()


HEAD = """
import sys
from pathlib import Path
from cod_runner.api import BuildContext
from codrun_submitit.executor import Submitit
from codrun_submitit.options import SubmititOptions
from dying import sleeps
run = Path(sys.argv[1])
list(Submitit(SubmititOptions(), BuildContext(run=run)).map(sleeps, [(run, 600.0)] * 2, 2))
"""


def test_jobs_of_a_head_that_was_killed_go_on_and_the_next_head_cancels_them(run: Path) -> None:
    head = subprocess.Popen([sys.executable, "-c", HEAD, str(run)])
    try:
        until(lambda: sum(path.name.isdecimal() for path in run.iterdir()) == 2)
    finally:
        head.kill()
        head.wait()
    workers = [int(path.name) for path in run.iterdir() if path.name.isdecimal()]
    assert all(map(fake_slurm.runs, workers))
    (name,) = (path.name for path in (run / "submitit").iterdir())
    said: list[str] = []
    executor(run, said).end_earlier_calls()
    assert said == [f"cancelled 2 Slurm jobs ({name}) of an earlier call, which had been killed"]
    assert not any(map(fake_slurm.runs, workers)) and not (run / "submitit").exists()
