"""What run.json says that each stage took, and what is shown of a run beside its stages."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cod_runner import running
from cod_runner.api import CodrunError, TrainSettings
from cod_runner.context import RunContext, RunSettings
from cod_runner.llm.budget import Spending
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.records import RunRecord, StageRecord
from cod_runner.stages import run_status
from cod_runner.stages.run_status import RunStatus, last_step
from cod_runner.stages.timing import NAMES, stage
from cod_runner.stages.worker_output import passed_on
from cod_runner.terminal import Terminal

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 10, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 5, lr: 0.01}
"""


def run(folder: Path, *overrides: str, registry: Registry | None = None, **settings: Any) -> running.RunResult:
    path = folder / "tiny.yaml"
    path.write_text(RECIPE)
    registry = registry or Registry.discover()
    loaded = load_recipe(path, registry, overrides=overrides)
    settings = {"out": folder / "run", "jobs": 1, **settings}
    progress = settings.pop("progress", Progress(quiet=True))
    return running.run(loaded, registry, RunSettings(**settings), progress)


def stages(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "run" / "run.json").read_text())["stages"]
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    return tmp_path


def test_each_stage_is_in_the_record_and_a_run_that_is_done_adds_nothing(folder: Path) -> None:
    registry = Registry.discover()
    observers = len(registry.hook.codrun_step.get_hookimpls())
    run(folder, "seeds=[0]", "arms=[plain]", registry=registry)
    assert len(registry.hook.codrun_step.get_hookimpls()) == observers, "ours has left"
    first = stages(folder)
    assert [each["name"] for each in first] == list(NAMES)
    assert all(each["seconds"] > 0 for each in first)
    assert {(each["calls"], each["tokens"], each["usd"]) for each in first} == {(0, 0, 0.0)}
    run(folder, "seeds=[0]", "arms=[plain]")
    assert stages(folder) == first


def context_of(folder: Path, spending: Spending, progress: Progress) -> RunContext:
    written = SimpleNamespace(write_record=lambda record: (folder / "run.json").write_text(record.model_dump_json()))
    return cast(RunContext, SimpleNamespace(spending=spending, progress=progress, folder=written))


def test_calls_of_earlier_stages_and_of_earlier_runs_are_not_this_stages(tmp_path: Path) -> None:
    spending, record = Spending(), RunRecord(recipe="r")
    record.stages = [StageRecord(name="counterfactuals", seconds=5, calls=10, tokens=100, usd=0.5)]
    context = context_of(tmp_path, spending, Progress(quiet=True))

    def call(usd: float | None) -> None:
        reserved = spending.reserve(100, usd)
        assert reserved is not None
        spending.settle(reserved, 40, usd)

    with stage(context, record, "teacher"):
        spending.resume("a ledger", 7, 700, 0.7)
        call(0.01)
    with stage(context, record, "counterfactuals"):
        call(0.25)
        call(0.125)
    told = {each["name"]: each for each in json.loads((tmp_path / "run.json").read_text())["stages"]}
    assert (told["teacher"]["calls"], told["teacher"]["tokens"], told["teacher"]["usd"]) == (1, 40, 0.01)
    counterfactuals = told["counterfactuals"]
    assert (counterfactuals["calls"], counterfactuals["tokens"], counterfactuals["usd"]) == (12, 180, 0.875)
    assert counterfactuals["seconds"] >= 5
    with stage(context, record, "counterfactuals"):
        call(None)
    with stage(context, record, "counterfactuals"):
        call(0.5)
    assert record.stage("counterfactuals").usd is None, "one price that is not known makes the sum unknown"
    assert record.stage("counterfactuals").calls == 14


def test_a_stage_that_fails_or_is_killed_is_in_the_record(tmp_path: Path) -> None:
    record = RunRecord(recipe="r")
    now = 0.0
    context = context_of(tmp_path, Spending(), Progress(quiet=True, clock=lambda: now))
    with pytest.raises(CodrunError), stage(context, record, "teacher"):
        with context.progress.bar("training") as step:
            now = 11.0
            step(1, 2)
            assert [each["name"] for each in json.loads((tmp_path / "run.json").read_text())["stages"]] == ["teacher"]
            (tmp_path / "run.json").unlink()
        raise CodrunError("no")
    assert (tmp_path / "run.json").exists()


def wrote(folder: Path, seed: int, steps: int, torn: str = "") -> dict[str, Any]:
    """A cell whose file of losses has so many steps."""
    cell = {"key": f"key{seed}", "method": "kd", "arm": "cod", "k": 8, "seed": seed}
    lines = [
        {"key": cell["key"], "step": step, "losses": {"hard": step / 7, "kd": 0.03}} for step in range(1, steps + 1)
    ]
    (folder / "training").mkdir(exist_ok=True)
    (folder / "training" / f"kd-cod-k8-s{seed}.jsonl").write_text(
        "".join(f"{json.dumps(line)}\n" for line in lines) + torn
    )
    return cell


def test_what_a_terminal_shows_of_cells_losses_and_spending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_status, "SECONDS_BETWEEN_LOOKS", 0.0)
    spending = Spending()
    recipe = SimpleNamespace(train=TrainSettings(steps=2000))
    folder = SimpleNamespace(path=tmp_path)
    context = RunContext(**{name: cast(Any, None) for name in RunContext.__dataclass_fields__})
    context.spending, context.folder = spending, cast(Any, folder)
    context.loaded = cast(Any, SimpleNamespace(recipe=recipe))
    now = 0.0
    monkeypatch.setattr(run_status.time, "monotonic", lambda: now)
    following = RunStatus(context, cells=8, done=2)
    assert following.lines() == ["2 of 8 cells"]
    for seed in range(6):
        following.codrun_cell_started({**wrote(tmp_path, 0, 3), "key": f"key{seed}", "seed": seed}, ())
    spending.resume("a ledger", 95, 12_000, 0.1)
    reserved = spending.reserve(400, 0.02)
    assert reserved is not None
    spending.settle(reserved, 345, 0.0234)
    spending.reused(3)
    wrote(tmp_path, 0, 300, torn='{"key": "key0", "st')
    whole = "2 of 8 cells; 96 model calls, 12,345 tokens, $0.1234, 3 answers from the ledger"
    assert following.lines() == [whole, "kd-cod-k8-s0: step 300 of 2,000, hard 42.9, kd 0.03"]
    now = 10.0
    wrote(tmp_path, 0, 400)
    told = "kd-cod-k8-s0: step 400 of 2,000, about 3 min left, hard 57.1, kd 0.03"
    assert following.lines() == [whole, told]
    for seed in range(1, 6):
        wrote(tmp_path, seed, 1)
    assert following.lines()[1:] == [
        told,
        *(f"kd-cod-k8-s{seed}: step 1 of 2,000, hard 0.143, kd 0.03" for seed in range(1, 4)),
        "and 2 more",
    ]
    following.codrun_cell_finished({"key": "key0"})
    assert following.lines()[0].startswith("3 of 8 cells; ")
    assert not any("s0" in line for line in following.lines())


@pytest.mark.parametrize(
    "content", ["", "torn", "\n", "[]\n", '{"key": "a"}\n', '{"key": "b", "step": 1, "losses": {}}\n']
)
def test_a_file_of_losses_that_tells_nothing_is_passed_over(content: str, tmp_path: Path) -> None:
    file = tmp_path / "kd.jsonl"
    assert last_step(file, "a", 0.0) is None
    file.write_text(content)
    assert last_step(file, "a", 0.0) is None


def test_a_file_of_losses_of_an_interrupted_call_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "kd.jsonl"
    file.write_text('{"key": "a", "step": 1, "losses": {}}\n')
    os.utime(file, (1000, 1000))
    assert last_step(file, "a", time.time()) is None
    assert last_step(file, "a", 999) is not None


PLUGIN = """
import os, warnings
from cod_runner.api import Component, Options, hookimpl

@hookimpl
def codrun_components():
    yield Component(kind="metric", name="noisy", options=Options, build="noisy_plugin:Noisy", summary="is loud",
                    title="Noise", higher_is_better=True)

class Noisy:
    def __init__(self, options, context): pass

    def __call__(self, predictions):
        print("printed by a metric")
        print("a bar: 10%\\ra bar: 100%")
        os.write(2, b"written past Python\\n")
        warnings.warn("a metric warns")
        return 1.0
"""


@pytest.mark.slow
def test_workers_write_nothing_to_the_terminal_and_what_they_write_is_passed_on(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder / "site"
    package = place / "noisy-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: noisy\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[codrun]\nnoisy = noisy_plugin\n")
    (place / "noisy_plugin.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # a line and its end would be written apart, and workers' lines mix
    out = io.StringIO()
    progress = Progress(Terminal(file=out, force_terminal=False, width=200))
    run(folder, "seeds=[0]", "evaluate.metrics=[noisy]", jobs=2, progress=progress)
    caught = capfd.readouterr()
    assert "noisy" not in caught.out + caught.err and "printed" not in caught.out + caught.err
    shown = out.getvalue().splitlines()
    for line in ("printed by a metric", "a bar: 100%", "written past Python"):
        assert shown.count(line) == 1, line
    assert sum("UserWarning: a metric warns" in line for line in shown) == 1
    assert not any("10%" in line and "100%" not in line for line in shown)
    assert progress.notes == [] or not any("metric warns" in note for note in progress.notes)
    assert "written past Python" in (folder / "run" / "workers.log").read_text()


def test_the_file_of_workers_is_begun_anew_and_read_by_whole_lines(tmp_path: Path) -> None:
    file, out = tmp_path / "workers.log", io.StringIO()
    file.write_text("of an earlier call\n")
    with passed_on(tmp_path, Progress(Terminal(file=out, force_terminal=False))) as pass_on:
        assert not file.exists()
        file.write_text("one\ntw")
        pass_on()
        assert out.getvalue() == "one\n"
        with file.open("a") as more:
            more.write("o\n\n")
    assert out.getvalue() == "one\ntwo\n"
