"""A fine-tuned teacher in the store: read back as it was written or made again, and made by one run at a time."""

from __future__ import annotations

import _thread
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import SafetensorError

import codrun_moons.classifier
from cod_runner import files
from cod_runner.api import CodrunError
from cod_runner.cli import call
from cod_runner.progress import Progress, Step
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.stages import teacher as stage
from cod_runner.stages.kept_teacher import Turn, turn
from cod_runner.store import Store

RECIPE = """\
recipe: 1
name: tiny
dataset: {use: moons, n: 200, validation: 50}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [8], finetune: {rows: 64, steps: 20, lr: 0.05, batch_size: 32, precision: fp32}}
student: {use: mlp, hidden: [8]}
methods: {kd: [hard, {use: kd, weight: 2}]}
arms: [plain]
train: {steps: 3, lr: 0.01, precision: fp32}
"""


@dataclass
class Runs:
    """The tiny recipe, run in one folder with one store."""

    folder: Path
    said: Callable[[], str]

    def __call__(self, name: str, code: int = 0) -> str:
        """Run it into the folder ``name``; returns what it said, on one line."""
        assert call([str(self.folder / "tiny.yaml"), "--out", str(self.folder / name), "--jobs", "1"]) == code
        return self.said()

    @property
    def kept(self) -> Path:
        (kept,) = [path for path in Store().teachers.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)]
        return kept

    def cells(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name / "cells.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if "seconds" not in key} for line in lines]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return Runs(tmp_path, lambda: " ".join(capsys.readouterr().err.split()))


def flip_a_bit(kept: Path) -> None:
    weights = bytearray((kept / "model.safetensors").read_bytes())
    weights[-9] ^= 1
    (kept / "model.safetensors").write_bytes(weights)


def cut_off(kept: Path) -> None:
    weights = (kept / "model.safetensors").read_bytes()
    (kept / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def lose_a_file(kept: Path) -> None:
    (kept / "mlp.json").unlink()


def tear_the_record(kept: Path) -> None:
    (kept / "teacher.json").write_text('{"key": "')


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_bit, "model.safetensors is not as it was written"),
        (cut_off, "model.safetensors is not as it was written"),
        (lose_a_file, "mlp.json is missing"),
        (tear_the_record, "it has no teacher.json that can be read"),
    ],
)
def test_a_damaged_teacher_is_set_aside_and_made_again(
    runs: Runs, damage: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs("first")
    whole = (runs.kept / "model.safetensors").read_bytes()
    assert "is in the store" in runs("second")
    for number in (1, 2):
        damage(runs.kept)
        left = {path.name: path.read_bytes() for path in runs.kept.iterdir()}
        told = runs(f"after {number}")
        aside = runs.kept.with_name(f"{runs.kept.name}.damaged-{number}")
        assert f"teachers/{runs.kept.name} is damaged ({said}): it is set aside as teachers/{aside.name}" in told
        assert {path.name: path.read_bytes() for path in aside.iterdir()} == left
        assert (runs.kept / "model.safetensors").read_bytes() == whole
        assert runs.cells(f"after {number}") == runs.cells("first")
        notes = json.loads((runs.folder / f"after {number}" / "run.json").read_text())
        assert "is set aside as" in json.dumps(notes)
    assert call(["store", "list"]) == 0
    assert f"teachers/{runs.kept.name}.damaged-2" in capsys.readouterr().out


def as_an_earlier_version(kept: Path) -> None:
    record = json.loads((kept / "teacher.json").read_text())
    del record["files"]
    (kept / "teacher.json").write_text(json.dumps(record))


def test_a_teacher_of_an_earlier_version_is_taken_and_guarded_from_then_on(runs: Runs) -> None:
    runs("first")
    record = (runs.kept / "teacher.json").read_text()
    as_an_earlier_version(runs.kept)
    told = runs("second")
    assert "is in the store" in told and "damaged" not in told
    assert json.loads((runs.kept / "teacher.json").read_text()) == json.loads(record)
    assert runs.cells("second") == runs.cells("first")
    flip_a_bit(runs.kept)
    assert "model.safetensors is not as it was written" in runs("third")


def test_one_of_an_earlier_version_that_is_cut_off_is_made_again_from_the_checkpoint(runs: Runs) -> None:
    runs("first")
    whole = (runs.kept / "model.safetensors").read_bytes()
    as_an_earlier_version(runs.kept)
    cut_off(runs.kept)
    assert "is damaged (" in runs("second")
    assert (runs.kept / "model.safetensors").read_bytes() == whole
    assert runs.cells("second") == runs.cells("first")


def test_whole_weights_of_another_model_are_named_with_the_cure(runs: Runs) -> None:
    """As after a change of the library that names a model's weights."""
    runs("first")
    from safetensors.torch import save_file

    save_file({"another": torch.zeros(1)}, runs.kept / "model.safetensors")
    record = json.loads((runs.kept / "teacher.json").read_text())
    record["files"]["model.safetensors"] = files.file_digest(runs.kept / "model.safetensors")
    (runs.kept / "teacher.json").write_text(json.dumps(record))
    told = runs("second", code=1)
    assert "is not one that this version reads" in told
    assert f"remove it with `codrun store prune teachers/{runs.kept.name}`" in told


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize("error", [SafetensorError(FULL), OSError(28, "No space left on device"), Exception(FULL)])
@pytest.mark.parametrize(("failing", "named"), [(1, "home/teachers/"), (2, "first/students/kd-plain-k8-s0")])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, error: Exception, failing: int, named: str
) -> None:
    """The teacher is what is saved first, the student second; tokenizers raises a bare ``Exception``."""
    real, calls = codrun_moons.classifier.save_file, 0

    def full(weights: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            path.write_bytes(b"half")
            raise error
        real(weights, path)

    monkeypatch.setattr(codrun_moons.classifier, "save_file", full)
    told = runs("first", code=1)
    assert re.search(rf"{named}\S* cannot be written \(No space left on device\); free its disk", told)
    assert not list(runs.folder.rglob(".codrun-partial-*"))
    assert (runs.folder / "first" / "students").is_dir() is False or not list(
        (runs.folder / "first/students").iterdir()
    )
    runs("first")
    runs("whole")
    assert runs.cells("first") == runs.cells("whole")


def test_a_folder_that_cannot_be_written_is_named(runs: Runs) -> None:
    (runs.folder / "first").mkdir()
    (runs.folder / "first" / "students").write_text("a file where a folder must be")
    assert re.search(r"first/students/kd-plain-k8-s0 cannot be written \(\w[\w ]+\)", runs("first", code=1))
    (runs.folder / "first" / "students").unlink()
    runs("first")
    assert len(runs.cells("first")) == 1


# --- one run at a time ----------------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from cod_runner.progress import Progress
from cod_runner.stages.kept_teacher import turn

with turn(Path(sys.argv[1]), "the run runs/other", Progress(quiet=True)) as mine:
    mine._noted = 0.0
    mine.tell(3, 60)
    print("holds", flush=True)
    sys.stdin.readline()
"""


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(console=Console(quiet=True), quiet=True)
        self.heard: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def say(self, sentence: str) -> None:
        self.heard.append(sentence)

    @contextmanager
    def bar(self, title: str) -> Iterator[Step]:
        yield lambda done, total: self.steps.append((done, total))


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """Another process that has its turn until a line is written to it."""
    monkeypatch.setattr(files, "SECONDS_BETWEEN_CALLS", 0.05)
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "key")]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        yield process
        process.kill()


def test_who_waits_for_a_teacher_says_for_whom_and_shows_how_far_it_is(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    progress = Heard()

    def end_of_the_other() -> None:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()

    timer = threading.Timer(0.3, end_of_the_other)
    timer.start()
    with turn(tmp_path / "key", "the run runs/mine", progress) as mine:
        assert isinstance(mine, Turn)
        assert json.loads((tmp_path / ".key.note").read_text())["by"] == "the run runs/mine"
    (said,) = progress.heard
    assert re.fullmatch(
        rf"waiting for the teacher that the run runs/other \(process {other.pid}\) has been making since \d\d:\d\d UTC; "
        rf"it holds {re.escape(str(tmp_path / '.key.lock'))}",
        said,
    )
    assert set(progress.steps) == {(3, 60)}
    assert not (tmp_path / ".key.note").exists()


def test_the_wait_ends_with_the_others_death_and_with_control_c(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt), turn(tmp_path / "key", "the run runs/mine", Heard()):
        pass
    other.kill()
    other.wait()
    progress = Heard()
    with turn(tmp_path / "key", "the run runs/mine", progress):
        assert not progress.heard


def test_one_who_tells_nothing_is_waited_for_too(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """As an earlier version does."""
    (tmp_path / ".key.note").write_text('{"by": ')
    progress = Heard()
    threading.Timer(0.2, other.kill).start()
    with turn(tmp_path / "key", "the run runs/mine", progress):
        assert progress.heard[0].startswith("waiting for the teacher that another run makes; it holds")
        assert not progress.steps


# --- threads --------------------------------------------------------------------------------------------------


def test_fine_tuning_takes_the_threads_that_its_key_says(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    real, seen = stage.finetune_teacher, []

    def watched(*arguments: Any, **named: Any) -> dict[str, Any]:
        seen.append(torch.get_num_threads())
        return real(*arguments, **named)

    monkeypatch.setattr(stage, "finetune_teacher", watched)
    registry, keys = Registry.discover(), []
    for threads in (None, "7", "1"):
        if threads is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
        (cell,) = cells_of(load_recipe(runs.folder / "tiny.yaml", registry).recipe, registry)
        keys.append(cell.key)
        shutil.rmtree(runs.folder / "home", ignore_errors=True)
        runs(f"with {threads}")
    assert seen == [3, 3, 1]
    assert keys[0] == keys[1] != keys[2]


def test_a_sentence_of_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CodrunError, match="cannot be locked"), turn(tmp_path / "file" / "key", "x", Heard()):
        pass
