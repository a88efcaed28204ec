"""A second call goes on where a kill, or the user, left the tools; a tool that breaks stops nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from followed_run import lines, run

from cod_runner.api import BuildContext, CodrunError
from codrun_trackers.logged import THE_RUN, Logged
from codrun_trackers.mlflow import MLflow
from codrun_trackers.plugin import MLflowOptions

pytestmark = pytest.mark.slow


def cut_off(path: Path) -> None:
    """As if a kill had come while the only cell was logged."""
    kept = [line for line in lines(path) if not (line["key"] != THE_RUN and line["complete"])]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def mlflow_runs(folder: Path, view: int = 1) -> dict[str, Any]:
    """The runs by name, active ones alone; 2: deleted ones."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient((folder / "mlruns").as_uri())
    found = client.search_runs([client.get_experiment_by_name("followed").experiment_id], run_view_type=view)
    assert len({each.info.run_name for each in found}) == len(found)
    return {each.info.run_name: each for each in found}


@pytest.fixture
def two_calls(called: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run, cut off while its first cell was logged, and continued with a second one."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run(called, "[tensorboard, mlflow, wandb]", "arms=[plain]")
    folder = called / "run"
    for tool in ("mlflow", "wandb"):
        cut_off(folder / "trackers" / f"{tool}.jsonl")
    (folder / "tensorboard" / "kd-plain-k4-s0" / "cell.json").unlink()
    (folder / "tensorboard" / "kd-plain-k4-s0" / "events.out.tfevents.1.half").write_bytes(b"half")
    before = mlflow_runs(folder)["run"].info.run_id
    run(called, "[tensorboard, mlflow, wandb]", "arms=[plain]", "seeds=[0, 1]")
    assert mlflow_runs(folder)["run"].info.run_id == before, "the run of the whole goes on"
    return folder


def test_what_a_kill_cut_off_is_logged_anew_and_nothing_twice(two_calls: Path) -> None:
    assert sorted(mlflow_runs(two_calls)) == ["kd-plain-k4-s0", "kd-plain-k4-s1", "run"]
    assert sorted(mlflow_runs(two_calls, 2)) == ["kd-plain-k4-s0"], "the half of it is in MLflow's bin"
    for name in ("kd-plain-k4-s0", "kd-plain-k4-s1"):
        assert len(list((two_calls / "tensorboard" / name).iterdir())) == 2
        assert len(list((two_calls / "tensorboard" / name).glob("events*.half"))) == 0
    ids = {line["key"]: line["name"] for line in lines(two_calls / "trackers" / "wandb.jsonl")}
    kept = {path.name.rpartition("-")[2] for path in (two_calls / "wandb").glob("offline-run-*")}
    assert kept == set(ids.values()) and len(kept) == 3


def test_a_deleted_parent_is_begun_anew_and_a_moved_folder_is_named(
    called: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    run(called, "[mlflow]", "arms=[plain]")
    first = mlflow_runs(called / "run")["run"].info.run_id
    MlflowClient((called / "run" / "mlruns").as_uri()).delete_run(first)
    run(called, "[mlflow]", "arms=[plain]", "seeds=[0, 1]")
    found = mlflow_runs(called / "run")
    assert found["run"].info.run_id != first
    moved = called / "moved"
    moved.mkdir()
    shutil.move(called / "run", moved / "run")
    progress = run(moved, "[mlflow]", "arms=[plain]", "seeds=[0, 1, 2]")
    (said,) = [note for note in progress.notes if "tracker" in note]
    assert "failed: the MLflow run keeps its files in file://" in said
    assert not (called / "run").exists(), "nothing is written where the folder was"


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow", "wandb"])
def test_a_tool_that_breaks_is_named_and_the_run_goes_on(called: Path, tool: str) -> None:
    (called / "run").mkdir()
    (called / "run" / {"mlflow": "mlruns"}.get(tool, tool)).write_text("a file is in the way")
    progress = run(called, f"[{tool}]", "arms=[plain]")
    (said,) = [note for note in progress.notes if "tracker" in note]
    assert said.startswith(f"the tracker `{tool}` (codrun ")
    assert said.endswith("; it observes no longer, the run goes on")
    assert len(lines(called / "run" / "cells.jsonl")) == 1
    assert (called / "run" / "table.md").is_file()


def test_tools_say_nothing_on_the_terminal(
    called: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(called)
    (called / "wandb").mkdir()
    (called / "wandb" / "settings").write_text("[default]\nentity = somebody\nhttps_proxy = http://127.0.0.1:9\n")
    run(called, "[tensorboard, mlflow, wandb]", "arms=[plain]")
    shown = capfd.readouterr()
    words = ("wandb", "mlflow", "mlruns", "tensorboard", "warning")
    assert [line for line in (shown.out + shown.err).lower().splitlines() if any(word in line for word in words)] == []
    assert sorted(path.name for path in called.iterdir()) == ["followed.yaml", "run", "wandb"]
    assert os.listdir(called / "wandb") == ["settings"]  # noqa: PTH208


def test_names_that_mlflow_refuses_are_spelt_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    values = {"use": "csv", "values": {"../a/b?": "good", "x" * 999: "bad"}}
    tracker = MLflow(MLflowOptions(), BuildContext())
    recipe = {"name": "followed", "methods": {"kd": []}, "dataset": values}
    tracker.codrun_run_started(recipe=recipe, folder=tmp_path)
    row = {"key": "k1", "method": "kd", "arm": "plain", "k": 4, "seed": 0, "f1@5!": 0.5}
    tracker.codrun_cell_finished(row=row)
    data = mlflow_runs(tmp_path)["kd-plain-k4-s0"].data
    assert data.metrics == {"f1_5_": 0.5}
    assert data.params["dataset.values..._a_b_"] == "good"
    assert [value for name, value in data.params.items() if "xxx" in name] == ["bad"]


def test_notes_of_another_destination_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "trackers" / "mlflow.jsonl"
    here = Logged(path, {"uri": "here"})
    here.begin("a", "1")
    here.complete("a")
    here.begin("b", "2")
    again, there = Logged(path, {"uri": "here"}), Logged(path, {"uri": "there"})
    assert (again.has("a"), again.name("a")) == (True, "1")
    assert (again.has("b"), again.name("b")) == (False, "2")
    assert (there.has("a"), there.name("a")) == (False, None)
    path.write_text(path.read_text() + '{"key": "c", "na')
    again.begin("d", "4")
    assert Logged(path, {"uri": "here"}).name("d") == "4", "after a torn line"


@pytest.mark.parametrize("name", ["a/../../victim", "..", "", "*", 7, None, ["a"]])
def test_a_note_whose_name_could_lead_elsewhere_is_not_believed(tmp_path: Path, name: object) -> None:
    """Trackers delete what they began by it."""
    path = tmp_path / "wandb.jsonl"
    path.write_text(json.dumps({"key": "a", "name": name, "complete": False, "to": {}}) + "\n")
    assert Logged(path, {}).name("a") is None


SERVER = "https://tracking.example:8443/team"


@pytest.mark.parametrize(
    ("uri", "address", "same"),
    [
        (SERVER, "mlflow-artifacts:/1/abc/artifacts", True),
        (SERVER, "https://tracking.example:8443/artifacts", True),
        (SERVER, "mlflow-artifacts://elsewhere.example/1", False),
        (SERVER, "https://tracking.example/artifacts", False),
        (SERVER, "s3://bucket/1", False),
        (SERVER, "file:///home/somebody", False),
        (None, "{store}/1/abc/artifacts", True),
        (None, "file://{store}/1", True),
        (None, "{store}/../elsewhere", False),
        (None, "/home/somebody", False),
        (None, "https://tracking.example:8443/artifacts", False),
    ],
)
def test_files_go_to_the_server_or_folder_that_was_allowed_and_nowhere_else(
    tmp_path: Path, uri: str | None, address: str, same: bool
) -> None:
    """A server answers where an MLflow run keeps its files, and a folder that was moved says where it was."""
    tracker = MLflow(MLflowOptions(uri=uri), BuildContext())
    tracker.codrun_run_started(recipe={"name": "x"}, folder=tmp_path)
    address = address.format(store=tmp_path / "mlruns")
    if same:
        tracker._refuse_another_place(address)
    else:
        with pytest.raises(CodrunError, match="which is not"):
            tracker._refuse_another_place(address)
