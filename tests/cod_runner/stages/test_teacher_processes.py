"""A teacher that several processes fine-tune together and ask: what it says, what is refused, and what may end it."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cod_runner.cli import call
from cod_runner.errors import SettingError
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.identity import teacher_identity
from cod_runner.stages import asking_together, teacher_processes
from cod_runner.stages.kept_teacher import Turn
from cod_runner.store import Store

REGISTRY = Registry.discover()
RECIPE = """\
recipe: 1
name: tiny
dataset: {use: moons, n: 400, validation: 130}
k: [128]
seeds: [0, 1]
teacher:
  use: mlp
  hidden: [8, 8]
  processes: 2
  finetune: {rows: 64, steps: 800, lr: 0.01, batch_size: 9, precision: fp32}
student: {use: mlp, hidden: [8]}
methods: {lwd: [hard, {use: lwd, weight: 1}]}
arms: [plain]
train: {steps: 3, lr: 0.01, precision: fp32}
"""


def run(folder: Path, name: str, *flags: str) -> int:
    return call([str(folder / "tiny.yaml"), "--out", str(folder / name), "--jobs", "1", *flags])


def kept() -> Path:
    (folder,) = [path for path in Store().teachers.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)]
    return folder


def cells(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "cells.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if "seconds" not in key} for line in lines]


# --- what decides the key ---------------------------------------------------------------------------------------


def test_the_number_of_processes_is_in_the_key_of_a_fine_tuning_alone(tmp_path: Path) -> None:
    def identity(*lines: tuple[str, str]) -> dict[str, Any]:
        text = RECIPE
        for old, new in lines:
            text = text.replace(old, new)
        (tmp_path / "tiny.yaml").write_text(text)
        return teacher_identity(load_recipe(tmp_path / "tiny.yaml", REGISTRY).recipe, REGISTRY)

    without, one = ("  processes: 2\n", ""), ("processes: 2", "processes: 1")
    untuned = ("  finetune: {rows: 64, steps: 800, lr: 0.01, batch_size: 9, precision: fp32}\n", "")
    assert identity()["processes"] == 2
    assert {**identity(), "processes": None} == {**identity(without), "processes": None}
    assert identity(one) == identity(without)
    assert identity(untuned) == identity(untuned, without)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_without_accelerate_the_recipes_line_is_named_with_the_cure(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else real(name))
    assert run(tiny, "run") == 2
    sentence = (
        "tiny.yaml:9:14: `processes: 2` fine-tunes through the package `accelerate`, which is not installed; "
        '`pip install "codrun[accelerate]"`, or leave `processes` out'
    )
    assert sentence in said(capsys)


def test_more_processes_than_cores(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teacher_processes, "most_on_the_cpu", lambda: 3)
    assert run(tiny, "run", "--set", "teacher.processes=4") == 2
    sentence = "`processes: 4` needs a core for each, and this machine has 3 cores; set it to 3"
    assert sentence in said(capsys)


@pytest.mark.parametrize("processes", ["0", "65", "two", "true"])
def test_a_number_that_makes_no_sense(tiny: Path, processes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["validate", str(tiny / "tiny.yaml"), "--set", f"teacher.processes={processes}"]) == 2
    assert "teacher.processes" in said(capsys)


def context_on(device: str, processes: int = 2) -> Any:
    teacher = SimpleNamespace(processes=processes, finetune=None)
    return SimpleNamespace(device=device, recipe=SimpleNamespace(teacher=teacher))


@pytest.mark.parametrize(
    ("device", "processes", "sentence"),
    [
        ("mps", 2, "`processes: 2` needs a GPU for each, and `mps` is one; leave it out"),
        ("cuda:1", 2, "`processes: 2` takes the first 2 GPUs, not `cuda:1` alone; omit --device"),
        ("cuda", 4, "`processes: 4` needs a GPU for each, and this machine has 3 GPUs; set it to 3"),
    ],
)
def test_what_gpus_cannot_give(device: str, processes: int, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(SettingError) as caught:
        teacher_processes.refuse_unfit(context_on(device, processes))
    assert str(caught.value) == sentence and caught.value.setting == ("processes",)
    teacher_processes.refuse_unfit(context_on(device, 1))
    teacher_processes.refuse_unfit(context_on("cuda", 3))


@pytest.mark.parametrize(
    ("seen", "gpus"), [(None, ["0", "1"]), ("2,5,7", ["2", "5"]), ("GPU-8a,GPU-1b", ["GPU-8a", "GPU-1b"])]
)
def test_each_process_has_a_gpu_among_those_that_the_run_sees(
    seen: str | None, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert [place.gpu for place in teacher_processes.places_of(context_on("cuda"))] == gpus
    assert [place.gpu for place in teacher_processes.places_of(context_on("cpu"))] == [None, None]


# --- a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run in two processes, and its store."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "home"))
        assert run(folder, "whole") == 0
    return folder


@pytest.fixture
def again(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def signals() -> tuple[list[tuple[Any, ...]], dict[str, bytes]]:
    """Every answer, and every file of hidden states."""
    folder = Store().signals
    (database,) = folder.glob("*.sqlite")
    with closing(sqlite3.connect(database)) as connection:
        answers = connection.execute("select input, logits, ids, pooled_at from answer order by input").fetchall()
    hidden = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}
    return answers, hidden


@pytest.mark.slow
def test_the_answers_of_two_processes_are_those_of_one_to_the_last_bit(
    again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, hidden = signals()
    assert len(answers) > 130 and len(hidden) >= 128
    shutil.rmtree(Store().signals)
    monkeypatch.setattr(asking_together, "worker_group", None)  # nothing is asked of another process
    monkeypatch.setattr(asking_together, "TEXTS_WORTH_A_PROCESS", 1_000)
    assert run(again, "alone") == 0
    assert signals() == (answers, hidden)
    assert cells(again / "alone") == cells(again / "whole")


@pytest.mark.slow
def test_the_run_says_in_how_many_processes(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((again / "whole" / "run.json").read_text())["teacher"]["processes"] == 2
    assert "in 2 processes" in (again / "whole" / "report.html").read_text()
    assert call(["plan", str(again / "tiny.yaml"), "--out", str(again / "planned")]) == 0
    assert "2 processes" in capsys.readouterr().out
    assert not list(again.rglob(".codrun-partial-*")) and not (again / "whole" / "workers.log").exists()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Do something once, when the fine-tuning is under way."""

    def once(action: Callable[[], None]) -> None:
        real, done_already = Turn.tell, False

        def tell(turn: Turn, done: int, total: int) -> None:
            nonlocal done_already
            real(turn, done, total)
            if 1 < done < total and not done_already:
                done_already = True
                action()

        monkeypatch.setattr(Turn, "tell", tell)

    return once


@pytest.fixture
def without_teacher(again: Path) -> Iterator[Path]:
    """The weights that the whole run made; the store does not have them."""
    whole = again / "whole-teacher"
    shutil.move(kept(), whole)
    yield whole
    assert (kept() / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not list(again.rglob(".codrun-partial-*")) and not list(Store().teachers.glob("*.checkpoint.*"))


def sorted_children() -> list[Any]:
    return sorted(multiprocessing.active_children(), key=lambda process: process.pid or 0)


@pytest.mark.slow
def test_interrupted_and_then_killed_it_continues_with_the_same_bits(
    again: Path,
    without_teacher: Path,
    stopped: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped(lambda: signal.raise_signal(signal.SIGINT))
    assert run(again, "first") == 130
    told = re.search(r"fine-tuning stops after step (\d+) of 800, and the next run continues there", said(capsys))
    assert told is not None and not multiprocessing.active_children()
    continues = f"continues fine-tuning after step {told[1]} of 800"

    stopped(lambda: sorted_children()[-1].kill())
    assert run(again, "first") == 1
    heard = said(capsys)
    assert continues in heard and "Traceback" not in heard
    assert (
        "process 2 of the 2 that fine-tune the teacher died (SIGKILL, often: out of memory); run the same command "
        "again, and it continues at the last checkpoint"
    ) in heard
    assert not multiprocessing.active_children()

    stopped(lambda: None)
    assert run(again, "first") == 0
    assert continues in said(capsys)
    assert cells(again / "first") == cells(again / "whole")


@pytest.mark.slow
def test_an_answering_process_that_dies_loses_nothing_that_was_stored(
    again: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = signals()
    shutil.rmtree(Store().signals)
    real = asking_together._unpacked
    stored = 0

    def dying(*arguments: Any) -> Any:
        nonlocal stored
        stored += 1
        if stored == 20:
            sorted_children()[-1].kill()
            time.sleep(0.5)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(asking_together, "_unpacked", dying)
        code = run(again, "second")
    heard = said(capsys)
    if code:  # else it had told everything before
        assert "that answer as the teacher died (SIGKILL" in heard and "what was answered is stored" in heard
        assert 16 <= len(signals()[0]) < len(answers[0])
        assert run(again, "second") == 0
    assert signals() == answers
