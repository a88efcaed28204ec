"""A cell that trains in a process of another host: it reads what its run wrote for it, and opens no database."""

from __future__ import annotations

import base64
import csv
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from cod_runner import running
from cod_runner.api import Component, Options, hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results
from cod_runner.store import Store
from cod_runner.testing.tiny_models import tiny_deberta

OTHER_HOST = """
import base64, os, pickle, sqlite3, sys

def refuse(event, arguments):
    if event == "sqlite3.connect" or (event == "open" and ".sqlite" in str(arguments[0])):
        os.write(2, f"{event} {arguments[0]}".encode())
        os._exit(3)

sys.addaudithook(refuse)
for line in sys.stdin.buffer:
    work, tasks = pickle.loads(base64.b64decode(line))
    results = [work(task) for task in tasks]
    sys.stdout.buffer.write(base64.b64encode(pickle.dumps(results)) + b"\\n")
    sys.stdout.buffer.flush()
"""
"""Trains the cells that it is sent, and ends at the first touch of a database."""


class OtherHost:
    """Kind ``executor``: cells train in a process that was started before the run, without the store's databases."""

    process: ClassVar[subprocess.Popen[bytes]]

    def __init__(self, options: Options, context: Any) -> None: ...

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        root = Store().root
        databases = sorted(root.rglob("*.sqlite*"))
        assert databases
        aside = [path.rename(root.parent / f"{number}-{path.name}") for number, path in enumerate(databases)]
        before = contents(root / "signals")
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(base64.b64encode(pickle.dumps((work, tasks))) + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert contents(root / "signals") == before, "a cell writes nothing beside the signals"
        for path, place in zip(aside, databases, strict=True):
            path.rename(place)
        if not answer:
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read().decode())
        yield from pickle.loads(base64.b64decode(answer))  # noqa: S301 - our own


class ClosedHere:
    """Kind ``executor``: looks at the run's folder, then trains in the run's own process."""

    seen: ClassVar[list[list[Path]]] = []
    damage: ClassVar[bool] = False

    def __init__(self, options: Options, context: Any) -> None: ...

    def map(self, work: Any, tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        path = work.shared.signals.path
        self.seen.append(sorted(path.parent.iterdir()))
        if self.damage:
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        yield from map(work, tasks)


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("executor", "other_host", Options, f"{__name__}:OtherHost", "trains elsewhere")
        yield Component("executor", "closed_here", Options, f"{__name__}:ClosedHere", "trains here")


MOONS = """
recipe: 1
name: moons
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}, {use: lwd, pool: mean}]}
train: {steps: 20, lr: 0.01}
evaluate: {select: best_dev}
"""
WORDS = [("great", "awful"), ("funny", "boring"), ("lovely", "terrible"), ("good", "bad")]
NOUNS = ("film", "story", "cast", "script", "ending", "music")
TEXTS = [(f"what a {pair[label]} {noun}", label) for noun in NOUNS for pair in WORDS for label in (0, 1)]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setattr(ClosedHere, "seen", [])
    monkeypatch.setattr(ClosedHere, "damage", False)
    # drawing takes longer than training here, and has tests of its own
    monkeypatch.setattr(results, "write_reports", lambda *arguments: None)


@pytest.fixture
def moons(tmp_path: Path) -> Path:
    path = tmp_path / "moons.yaml"
    path.write_text(MOONS)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A recipe of tiny DeBERTas whose students learn from hidden states and fit filters."""
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((text, ("no", "yes")[label]) for text, label in TEXTS)])
    for name, layers in (("base", 4), ("small", 2)):
        tiny_deberta(tmp_path / name, [text for text, _ in TEXTS], num_hidden_layers=layers, initializer_range=0.1)
    recipe = {
        "recipe": 1,
        "name": "texts",
        "dataset": {"use": "csv", "path": "rows.csv", "labels": ["no", "yes"]},
        "k": [8],
        "seeds": [0],
        "teacher": {"use": "transformers", "model": "./base", "finetune": {"rows": 40, "steps": 3, "lr": 1e-3}},
        "student": {"use": "transformers", "model": "./small"},
        "methods": {
            "lwd": ["hard", {"use": "kd", "weight": 5}, {"use": "lwd", "weight": 5}],
            "ted": ["hard", {"use": "ted", "filter_epochs": 1}],
        },
        "arms": ["plain"],
        "train": {"steps": 2, "lr": 1e-3, "precision": "fp32"},
    }
    path = tmp_path / "texts.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="module")
def other_host() -> Iterator[None]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    OtherHost.process = subprocess.Popen(
        [sys.executable, "-c", OTHER_HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    yield
    OtherHost.process.communicate()
    assert OtherHost.process.returncode == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run(path: Path, executor: str, *overrides: str) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The lines of ``cells.jsonl`` without their times, and every file of the students' weights."""
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    loaded = load_recipe(path, registry, overrides=[*overrides, f"executor={executor}"])
    out = path.parent / executor
    running.run(loaded, registry, RunSettings(out=out, jobs=1), Progress(quiet=True))
    assert not (out / ".signals").exists()
    lines = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    kept = [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]
    weights = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("students/*/*.safetensors"))}
    return sorted(kept, key=lambda line: line["key"]), weights


@pytest.mark.slow  # one process that imports torch and transformers
@pytest.mark.parametrize("case", ["moons", "texts", "cut"])
def test_a_cell_on_another_host_needs_no_database_and_gives_the_same_bytes(
    case: str, other_host: None, moons: Path, texts: Path
) -> None:
    cut = ("student={use: transformers, layers_from_teacher: [1, 3]}",) if case == "cut" else ()
    path = moons if case == "moons" else texts
    elsewhere = run(path, "other_host", *cut)
    assert len(elsewhere[0]) == len(elsewhere[1]) == (4 if case == "moons" else 2)
    shutil.rmtree(Store().root / "losses", ignore_errors=True)  # what they fitted there
    assert run(path, "processes", *cut) == elsewhere


def test_a_run_has_one_file_of_signals_while_it_trains_and_none_afterwards(moons: Path) -> None:
    run(moons, "closed_here")
    ((file,),) = ClosedHere.seen
    assert file.parent == moons.parent / "closed_here" / ".signals"
    assert len(file.stem) == 32 and file.suffix == ".safetensors"


def test_what_a_killed_run_left_stays_for_its_workers_until_the_next_one_has_ended(moons: Path) -> None:
    left = moons.parent / "closed_here" / ".signals" / f"{'0' * 32}.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"read by a worker that outlived its run")
    run(moons, "closed_here")
    (files,) = ClosedHere.seen
    assert len(files) == 2 and left in files
    assert not left.exists()


def test_a_damaged_file_of_signals_is_a_sentence_and_the_next_run_writes_it_anew(
    moons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClosedHere, "damage", True)
    with pytest.raises(CodrunError, match=r"the teacher's signals in .*\.signals/.* cannot be read \(its content was"):
        run(moons, "closed_here")
    assert not (moons.parent / "closed_here" / ".signals").exists()
    monkeypatch.setattr(ClosedHere, "damage", False)
    assert len(run(moons, "closed_here")[0]) == 4
