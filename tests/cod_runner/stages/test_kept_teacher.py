"""A fine-tuned teacher in the store: read back as it was written or made again, and made by one run at a time."""

from __future__ import annotations

import _thread
import json
import re
import shutil
import signal
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
from safetensors.torch import save_file

import codrun_moons.classifier
import codrun_moons.plugin
from cod_runner import files
from cod_runner.api import CodrunError, Kept
from cod_runner.cli import call
from cod_runner.context import RunSettings, opened_run
from cod_runner.progress import Progress, Step
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.stages import teacher as stage
from cod_runner.stages.kept_teacher import Turn, turn
from cod_runner.stages.load import load_experiment
from cod_runner.store import Maker, Store

REGISTRY = Registry.discover()
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
    """The tiny recipe, in one folder with one store that holds its teacher, and a run of it, ``whole``."""

    folder: Path
    said: Callable[[], str]

    def __call__(self, name: str, code: int = 0) -> str:
        """Run it into the folder ``name``; returns what it said, on one line."""
        assert call([str(self.folder / "tiny.yaml"), "--out", str(self.folder / name), "--jobs", "1"]) == code
        return self.said()

    def teach(self) -> str:
        """Only make or read the teacher; returns what was said."""
        loaded, registry, progress = load_recipe(self.folder / "tiny.yaml", REGISTRY), REGISTRY, Heard()
        with opened_run(loaded, registry, RunSettings(out=self.folder / "taught"), progress) as context:
            experiment, teacher = load_experiment(context)
            stage.train_teacher(context, experiment.corpus, teacher)
        return " ".join([*progress.heard, *progress.notes])

    @property
    def kept(self) -> Path:
        (kept,) = [path for path in Store().teachers.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)]
        return kept

    @property
    def weights(self) -> bytes:
        return (self.kept / "model.safetensors").read_bytes()

    def cells(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name / "cells.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if "seconds" not in key} for line in lines]


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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "home"))
        assert call([str(folder / "tiny.yaml"), "--out", str(folder / "whole"), "--jobs", "1", "--quiet"]) == 0
    return folder


@pytest.fixture
def runs(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runs:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "home"))
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
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
    whole = runs.weights
    assert "is in the store" in runs.teach()
    for number in (1, 2):
        damage(runs.kept)
        left = {path.name: path.read_bytes() for path in runs.kept.iterdir()}
        told = runs.teach()
        aside = runs.kept.with_name(f"{runs.kept.name}.damaged-{number}")
        assert f"teachers/{runs.kept.name} is damaged ({said}): it is set aside as teachers/{aside.name}" in told
        assert {path.name: path.read_bytes() for path in aside.iterdir()} == left
        assert runs.weights == whole
    assert call(["store", "list"]) == 0
    assert f"teachers/{runs.kept.name}.damaged-2" in capsys.readouterr().out


def test_numbers_do_not_change_with_a_bit_and_the_record_says_what_happened(runs: Runs) -> None:
    flip_a_bit(runs.kept)
    assert "is set aside as" in runs("again")
    assert runs.cells("again") == runs.cells("whole")
    assert "is set aside as" in (runs.folder / "again" / "run.json").read_text()


def as_an_earlier_version(kept: Path) -> None:
    record = json.loads((kept / "teacher.json").read_text())
    del record["files"]
    (kept / "teacher.json").write_text(json.dumps(record))


def test_a_teacher_of_an_earlier_version_is_taken_and_guarded_from_then_on(runs: Runs) -> None:
    record, whole = (runs.kept / "teacher.json").read_text(), runs.weights
    as_an_earlier_version(runs.kept)
    told = runs.teach()
    assert "is in the store" in told and "damaged" not in told
    assert json.loads((runs.kept / "teacher.json").read_text()) == json.loads(record)
    flip_a_bit(runs.kept)
    assert "model.safetensors is not as it was written" in runs.teach()
    assert runs.weights == whole


def test_one_of_an_earlier_version_that_is_cut_off_is_made_again_from_the_checkpoint(runs: Runs) -> None:
    whole = runs.weights
    as_an_earlier_version(runs.kept)
    cut_off(runs.kept)
    assert "is damaged (" in runs.teach()
    assert runs.weights == whole


def test_whole_weights_of_another_model_are_named_with_the_cure(runs: Runs) -> None:
    """As after a change of the library that names a model's weights."""
    save_file({"another": torch.zeros(1)}, runs.kept / "model.safetensors")
    record = json.loads((runs.kept / "teacher.json").read_text())
    record["files"]["model.safetensors"] = files.file_digest(runs.kept / "model.safetensors")
    (runs.kept / "teacher.json").write_text(json.dumps(record))
    cure = f"remove it with `codrun store prune teachers/{runs.kept.name}`"
    with pytest.raises(CodrunError, match=f"is not one that this version reads .*{cure}"):
        runs.teach()


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize(
    ("error", "failing", "named"),
    [
        (SafetensorError(FULL), "home/teachers", r"home/teachers/[0-9a-f]{32}"),
        (SafetensorError(FULL), "first/students", "first/students/kd-plain-k8-s0"),
        (Exception(FULL), "first/students", "first/students/kd-plain-k8-s0"),
    ],
)
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, error: Exception, failing: str, named: str
) -> None:
    """The bare ``Exception`` is how tokenizers tells it."""

    def full(weights: Any, path: Path) -> None:
        if f"/{failing}/" in str(path):
            path.write_bytes(b"half")
            raise error
        save_file(weights, path)

    shutil.rmtree(runs.kept)
    with monkeypatch.context() as patch:
        patch.setattr(codrun_moons.classifier, "save_file", full)
        told = runs("first", code=1)
    assert re.search(rf"{named} cannot be written \(No space left on device\); free its disk", told)
    assert "Traceback" not in told
    assert not list(runs.folder.rglob(".codrun-partial-*")) and not list(runs.folder.glob("first/students/*"))
    runs("first")
    assert runs.cells("first") == runs.cells("whole")


def test_a_folder_that_cannot_be_written_is_named(runs: Runs) -> None:
    (runs.folder / "first").mkdir()
    (runs.folder / "first" / "students").write_text("a file where a folder must be")
    assert re.search(r"first/students/kd-plain-k8-s0 cannot be written \(\w[\w ]+\)", runs("first", code=1))


def test_the_store_says_for_which_recipe_it_was_made_and_when_it_was_used(runs: Runs) -> None:
    name = f"teachers/{runs.kept.name}"
    made = Store().uses.of(name)
    assert made is not None and made.made_for == Maker("tiny", "whole")
    runs("again")
    used = Store().uses.of(name)
    assert used is not None and used.made_for == made.made_for and used.used > made.used
    (signals,) = [path.stem for path in (Store().root / "uses").glob("signals-*")]
    assert {entry.name for entry in Store().unused(0)} == {name, signals.replace("-", "/")}
    assert Store().unused(1) == []


def test_what_a_teachers_component_keeps_is_noted_as_used(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    new, there = f"models/{'a' * 32}", f"models/{'b' * 32}"
    (Store().root / there).mkdir(parents=True)
    kept = [Kept("a copy", new), Kept("an older one", there), Kept("one whose place is unknown", None)]
    monkeypatch.setattr(codrun_moons.plugin.MLPOptions, "keeps", lambda options: kept)
    runs.teach()
    uses = Store().uses
    first, second = uses.of(new), uses.of(there)
    assert first is not None and first.made_for == Maker("tiny", "taught")
    assert second is not None and second.made_for is None
    assert len(list((Store().root / "uses").glob("models-*"))) == 2


# --- an interrupted one ------------------------------------------------------------------------------------------


def interrupted_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-C, in the fine-tuning's step of this number."""
    real = Turn.tell

    def tell(turn: Turn, done: int, total: int) -> None:
        real(turn, done, total)
        if done == steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Turn, "tell", tell)


def test_an_interrupted_teacher_is_continued_by_the_next_run_with_the_same_bits(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, checkpoint = runs.weights, runs.kept.with_name(f"{runs.kept.name}.checkpoint.safetensors")
    shutil.rmtree(runs.kept)
    with monkeypatch.context() as patch:
        interrupted_after(7, patch)
        told = runs("first", code=130)
    assert "fine-tuning stops after step 7 of 20, and the next run continues there" in told
    assert checkpoint.exists() and not list(runs.folder.rglob(".codrun-partial-*"))
    assert "continues fine-tuning after step 7 of 20" in runs("first")
    assert runs.weights == whole and not checkpoint.exists()
    assert runs.cells("first") == runs.cells("whole")
    checkpoint.write_bytes(b"left by a kill right after the teacher was kept")
    assert "is in the store" in runs.teach()
    assert not checkpoint.exists()


def test_a_checkpoint_of_other_rows_or_another_start_is_not_used(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a hub's branch has moved, which no key says."""
    whole = runs.weights
    shutil.rmtree(runs.kept)
    with monkeypatch.context() as patch:
        interrupted_after(7, patch)
        real = stage.rows_of_the_teacher
        patch.setattr(stage, "rows_of_the_teacher", lambda *arguments: real(*arguments)[::-1])
        runs("first", code=130)
    told = runs("first")
    assert "cannot be used (it is that of another training): fine-tuning starts anew" in told
    assert runs.weights == whole


# --- one run at a time ----------------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from cod_runner.context import RunSettings, opened_run
from cod_runner.progress import Progress
from cod_runner.stages.kept_teacher import turn

with turn(Path(sys.argv[1]), "the run runs/other", Progress(quiet=True)) as mine:
    mine._noted = 0.0
    mine.tell(3, 60)
    print("holds", flush=True)
    sys.stdin.readline()
"""


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
        rf"waiting for the teacher that the run runs/other \(process {other.pid}\) has been making since \d\d:\d\d "
        rf"UTC; it holds {re.escape(str(tmp_path / '.key.lock'))}",
        said,
    )
    assert set(progress.steps) == {(3, 60)}
    assert not (tmp_path / ".key.note").exists()


@pytest.mark.usefixtures("other")
def test_the_wait_ends_with_control_c(tmp_path: Path) -> None:
    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt), turn(tmp_path / "key", "the run runs/mine", Heard()):
        pass


def test_nobody_waits_for_the_dead(tmp_path: Path, other: subprocess.Popen[str]) -> None:
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
    keys = []
    for threads in (None, "7", "1"):
        if threads is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
        (cell,) = cells_of(load_recipe(runs.folder / "tiny.yaml", REGISTRY).recipe, REGISTRY)
        keys.append(cell.key)
        shutil.rmtree(runs.folder / "home", ignore_errors=True)
        runs.teach()
    assert seen == [3, 3, 1]
    assert keys[0] == keys[1] != keys[2]


def test_a_sentence_of_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CodrunError, match="cannot be locked"), turn(tmp_path / "file" / "key", "x", Heard()):
        pass
