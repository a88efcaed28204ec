"""TensorBoard, MLflow and Weights & Biases for real: one run in two calls, read back with each tool's own means."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from followed_run import Followed, run

pytestmark = pytest.mark.slow
CELLS = ["kd-cod-k4-s0", "kd-cod-k4-s1", "kd-plain-k4-s0", "kd-plain-k4-s1"]
TERMS = {"hard": 1, "kd": 20, "kd-2": 3}
TRACKERS = "[tensorboard, mlflow, wandb]"


@pytest.fixture(scope="module")
def followed(place: Path) -> Iterator[Followed]:
    """Two calls; the second adds a seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(place / "store"))
        notes = run(place, TRACKERS).notes
        notes += run(place, TRACKERS, "seeds=[0, 1]").notes
        yield Followed(place / "run", notes)


def row_of(followed: Followed, name: str) -> dict[str, Any]:
    (row,) = [row for row in followed.rows if f"{row['method']}-{row['arm']}-k{row['k']}-s{row['seed']}" == name]
    return row


def totals(followed: Followed, name: str) -> dict[int, float]:
    return {
        step: sum(TERMS[term] * value for term, value in losses.items())
        for step, losses in followed.losses(name).items()
    }


def test_nothing_failed(followed: Followed) -> None:
    assert [note for note in followed.notes if "tracker" in note] == []


# --- TensorBoard ---------------------------------------------------------------------------------------------


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    return read


def test_tensorboard_has_a_folder_for_each_cell(followed: Followed) -> None:
    board = followed.folder / "tensorboard"
    assert sorted(each.name for each in board.iterdir()) == [*CELLS, "run"]
    for name in CELLS:
        (_,) = (board / name).glob("events.out.tfevents.*")
        read, row = events(board / name), row_of(followed, name)
        assert {each.step: each.value for each in read.Scalars("loss/total")} == pytest.approx(totals(followed, name))
        hard = [each.value for each in read.Scalars("loss/hard")]
        assert hard == pytest.approx([losses["hard"] for losses in followed.losses(name).values()])
        (accuracy,) = read.Scalars("cell/accuracy")
        assert (accuracy.step, accuracy.value) == (25, pytest.approx(row["accuracy"]))
        settings = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        assert b"train.lr" in settings and b"losses.kd-2.temperature" in settings


def test_tensorboard_shows_table_counterfactuals_and_recipe(followed: Followed) -> None:
    read = events(followed.folder / "tensorboard" / "run")
    texts = {
        name: read.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()
        for name in ("table", "counterfactuals", "recipe", "notes")
    }
    found = (followed.folder / "counterfactuals.jsonl").read_text().splitlines()
    assert texts["counterfactuals"].startswith("| original | counterfactual | from | to |")
    assert len(texts["counterfactuals"].splitlines()) == 2 + len(found)
    assert "    name: followed" in texts["recipe"]
    assert len(texts["table"].splitlines()) == 2 + len((followed.folder / "table.csv").read_text().splitlines()) - 1
    commit = json.loads((followed.folder / "run.json").read_text())["git_commit"]
    assert f"git commit: {commit}" in texts["notes"]


def test_texts_are_shown_and_not_obeyed() -> None:
    from codrun_trackers.contents import Table
    from codrun_trackers.tensorboard import as_markdown

    table = Table(["original"], [["a | b\n<script>x</script> **c** [d](e) &lt;"]] * 201)
    text = as_markdown(table)
    line = text.splitlines()[2]
    assert line == r"| a \| b &lt;script\>x&lt;/script\> \*\*c\*\* \[d\]\(e\) &amp;lt; |"
    assert text.endswith("\n\nThe first 200 of 201.")


# --- MLflow --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient((followed.folder / "mlruns").as_uri())


def test_mlflow_has_one_run_above_a_run_for_each_cell(followed: Followed, store: Any) -> None:
    experiment = store.get_experiment_by_name("followed").experiment_id
    runs = {each.info.run_name: each for each in store.search_runs([experiment])}
    assert sorted(runs) == [*CELLS, "run"]
    parent = runs.pop("run")
    assert parent.info.status == "FINISHED"
    commit = json.loads((followed.folder / "run.json").read_text())["git_commit"]
    assert parent.data.tags.get("mlflow.source.git.commit") == commit
    assert "a fresh head stays near chance" in parent.data.tags["mlflow.note.content"]
    for name, child in runs.items():
        row = row_of(followed, name)
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (child.info.status, child.data.tags["codrun.cell"]) == ("FINISHED", row["key"])
        history = store.get_metric_history(child.info.run_id, "loss/total")
        assert {each.step: each.value for each in history} == pytest.approx(totals(followed, name))
        assert len(history) == 25, "no step is logged twice"
        assert child.data.metrics["accuracy"] == row["accuracy"]
        assert (child.data.params["arm"], child.data.params["train.lr"]) == (row["arm"], "0.01")


def test_mlflow_keeps_table_counterfactuals_recipe_and_page(followed: Followed, store: Any, tmp_path: Path) -> None:
    experiment = store.get_experiment_by_name("followed").experiment_id
    (parent,) = store.search_runs([experiment], "attributes.run_name = 'run'")
    files = sorted(each.path for each in store.list_artifacts(parent.info.run_id))
    assert files == [
        "counterfactuals.csv", "counterfactuals.jsonl", "recipe.yaml", "report.html", "run.json", "table.csv",
        "table.md",
    ]  # fmt: skip
    text = Path(store.download_artifacts(parent.info.run_id, "counterfactuals.csv", str(tmp_path))).read_text()
    gallery = list(csv.DictReader(io.StringIO(text)))
    pairs = [json.loads(line) for line in (followed.folder / "counterfactuals.jsonl").read_text().splitlines()]
    assert [json.loads(each["original"]) for each in gallery] == [pair["original"] for pair in pairs]
    assert [each["to"] for each in gallery] == [pair["label"] for pair in pairs]


# --- Weights & Biases ----------------------------------------------------------------------------------------


def records(path: Path) -> Iterator[Any]:
    """What W&B wrote into one file: its protocol's records, in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def offline_runs(folder: Path) -> dict[str, list[Any]]:
    found = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        told = list(records(path))
        (name, *_) = [each.run.display_name for each in told if each.HasField("run")]
        assert name not in found, "one of each"
        found[name] = told
    return found


def steps_of(told: list[Any]) -> list[dict[str, Any]]:
    items = [each.history.item for each in told if each.HasField("history")]
    return [{(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in each} for each in items]


def test_wandb_has_a_group_with_a_run_for_each_cell(followed: Followed) -> None:
    runs = offline_runs(followed.folder)
    assert sorted(runs) == [*CELLS, "run"]
    of = {name: next(each.run for each in told if each.HasField("run")) for name, told in runs.items()}
    assert len({each.run_group for each in of.values()}) == 1
    assert {name: each.job_type for name, each in of.items()} == dict.fromkeys(CELLS, "cell") | {"run": "run"}
    assert len({each.run_id for each in of.values()}) == 5
    for name in CELLS:
        steps, row = steps_of(runs[name]), row_of(followed, name)
        assert {each["_step"]: each["loss/total"] for each in steps if "loss/total" in each} == pytest.approx(
            totals(followed, name)
        )
        config = {each.key: json.loads(each.value_json) for each in of[name].config.update}
        assert (config["arm"], config["train.lr"]) == (row["arm"], 0.01)
        summary: dict[str, Any] = {}
        for each in runs[name]:
            summary |= {one.key: json.loads(one.value_json) for one in each.summary.update if one.key}
        assert summary["accuracy"] == row["accuracy"]


def test_wandb_keeps_table_counterfactuals_and_page(followed: Followed) -> None:
    told = offline_runs(followed.folder)["run"]
    assert {"table", "counterfactuals", "report"} <= {key.split("/")[0] for each in steps_of(told) for key in each}
    (folder,) = {path.parent for path in (followed.folder / "wandb").glob("offline-run-*/files/media/table")}
    (path,) = folder.glob("table/counterfactuals_*.table.json")
    table = json.loads(path.read_text())
    pairs = [json.loads(line) for line in (followed.folder / "counterfactuals.jsonl").read_text().splitlines()]
    assert table["columns"][:4] == ["original", "counterfactual", "from", "to"]
    assert [json.loads(row[0]) for row in table["data"]] == [pair["original"] for pair in pairs]
    last = [each.run for each in told if each.HasField("run")][-1]
    assert "a fresh head stays near chance" in last.notes


# --- all of them ---------------------------------------------------------------------------------------------


def test_a_call_that_finds_everything_done_logs_nothing(followed: Followed, place: Path, called: Path) -> None:
    def files() -> dict[str, int]:
        folders = [followed.folder / name for name in ("tensorboard", "mlruns", "wandb", "trackers")]
        return {str(path): path.stat().st_mtime_ns for each in folders for path in each.rglob("*") if path.is_file()}

    before = files()
    run(place, TRACKERS, "seeds=[0, 1]")
    assert files() == before


def test_the_environment_is_as_before(followed: Followed) -> None:
    names = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE", "WANDB_ERROR_REPORTING", "WANDB_DATA_DIR")
    assert [name for name in names if name in os.environ] == []
