"""How much memory one cell takes: measured in a process of its own, beside what `codrun plan` estimates.

    python benchmarks/memory.py [--quick] [--cases small-512,...] [--json FILE]

Each case trains a student of a true shape with random weights on texts of full length, or of some words where a case
says so, by the losses of layer-wise distillation: two optimiser steps, evaluation, and the saved student. The teacher's
hidden states are stand-ins on the disk, of its true shape (one file under the name of every text). Peaks are of the
process's own memory (RssAnon of /proc/self/status, so Linux only), less what torch, transformers and codrun take once
they are imported; pages of files that are mapped, such as libraries and what the checkpoint is read from, are shown
apart. "By plan" is the estimate before the texts are known.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Case:
    """A cell to be measured."""

    name: str
    pair: str
    """Of ``true_shapes``."""
    k: int
    tokens: int
    batch: int
    evaluated: int = 64
    compact: bool = True
    words: int | None = None
    """Of each text, each a token; absent: more than the model reads."""


CASES = (
    Case("small-512", "deberta", k=512, tokens=256, batch=8),
    Case("small-64", "deberta", k=64, tokens=256, batch=8),
    Case("small-short", "deberta", k=64, tokens=64, batch=32),
    Case("xsmall", "xsmall", k=64, tokens=256, batch=8),
    Case("qwen-part", "qwen-part", k=64, tokens=256, batch=4, evaluated=32),
    Case("short-texts", "deberta", k=64, tokens=256, batch=8, words=40),
    Case("shortest-texts", "deberta", k=16, tokens=256, batch=8, words=12),
    Case("small-all-words", "deberta", k=64, tokens=128, batch=8, compact=False),
)
QUICK = (Case("tiny", "tiny", k=16, tokens=32, batch=8, evaluated=8, words=12),)
WORDS = [f"word{number}" for number in range(600)]
SECONDS_BETWEEN_LOOKS = 0.002


def texts_of(case: Case) -> list[str]:
    """Longer than the model reads, so that each is cut to ``tokens``, unless the case says how long."""
    words = case.words or case.tokens
    return [" ".join(random.Random(row).choices(WORDS, k=words)) for row in range(case.k + case.evaluated)]


def recipe_of(case: Case, folder: Path) -> dict[str, Any]:
    """What a user would write."""
    model = {"use": "transformers", "max_length": case.tokens}
    return {
        "recipe": 1,
        "name": "memory",
        "dataset": {"use": "csv", "path": "rows.csv", "labels": ["negative", "positive"]},
        "k": [case.k],
        "seeds": [0],
        "teacher": {**model, "model": str(folder / "teacher"), "new_head": True},
        "student": {**model, "model": str(folder / "student")},
        "methods": {"lwd": ["hard", {"use": "kd", "weight": 20}, {"use": "lwd", "weight": 20}]},
        "arms": ["plain"],
        "train": {
            "steps": 2,
            "batch_size": case.batch,
            "precision": "fp32",
            "compact_vocabulary": case.compact,
        },
    }


# --- in the measured process ----------------------------------------------------------------------------------


class Peaks:
    """The most of each kind of memory that this process has held at once."""

    def __init__(self) -> None:
        self.highest: dict[str, int] = {}

    def look(self) -> dict[str, int]:
        """Bytes of ``RssAnon`` (its own) and ``RssFile`` (pages of mapped files) now."""
        lines = Path("/proc/self/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "RssFile"))}
        now = {name: 1024 * int(number) for name, number in found.items()}
        self.highest = {name: max(number, self.highest.get(name, 0)) for name, number in now.items()}
        return now

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look all the time while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                self.look()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()
            self.look()


def measured(case: Case, folder: Path) -> dict[str, int]:
    """Train the cell in this process; bytes by name."""
    import gc

    import torch
    import transformers  # noqa: F401 - part of what every worker takes
    from stand_in_signals import stand_in_signals

    from cod_runner.api import Example
    from cod_runner.context import WorkerContext
    from cod_runner.data.fewshot import TrainingSet
    from cod_runner.memory import cell_memory, longest_input
    from cod_runner.observers import Observers
    from cod_runner.recipe import load_recipe
    from cod_runner.registry import Registry
    from cod_runner.runs.cells import cells_of
    from cod_runner.runs.records import CellRow
    from cod_runner.stages.build import TeacherSource
    from cod_runner.stages.cell import CellTask, SharedByCells, train_cell
    from cod_runner.store import Store

    torch.set_num_threads(1)
    (folder / "memory.yaml").write_text(yaml.safe_dump(recipe_of(case, folder)))
    registry = Registry.discover()
    recipe = load_recipe(folder / "memory.yaml", registry).recipe
    (cell,) = cells_of(recipe, registry)
    rows = [Example(f"e{row}", text, row % 2) for row, text in enumerate(texts_of(case))]
    labels = ("negative", "positive")
    signals = stand_in_signals(recipe, registry, labels, [row.input for row in rows], folder)
    beforehand = cell_memory(recipe, registry)
    longest = longest_input(recipe, registry, [row.input for row in rows], signals.opened().longest)
    estimated = cell_memory(recipe, registry, longest)
    assert beforehand is not None and estimated is not None
    worker = WorkerContext(recipe, Store(folder / "store"), "cpu", True, folder / "run" / "students")
    source = TeacherSource(labels, None, "stand-in")
    training, evaluation = tuple(rows[: case.k]), tuple(rows[case.k :])
    shared = SharedByCells(worker, source, evaluation, (), signals, leaves_rows=False)
    gc.collect()
    peaks = Peaks()
    before = peaks.look()
    with peaks.watched():
        row = train_cell(CellTask(cell, TrainingSet(training)), shared, registry, Observers(registry, print))
    assert isinstance(row, CellRow), row
    return {
        "estimated": estimated.bytes,
        "by plan": beforehand.bytes,
        "own": peaks.highest["RssAnon"] - before["RssAnon"],
        "mapped": peaks.highest["RssFile"] - before["RssFile"],
        "imported": before["RssAnon"] + before["RssFile"],
        "seconds": round(row.seconds),
        **{f"estimated {name}": number for name, number in dataclasses.asdict(estimated).items()},
    }


# --- in the calling process -----------------------------------------------------------------------------------


def run_case(case: Case) -> dict[str, int]:
    """Measure it in a new process, whose models were made by another one."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("make", "measure"):
            command = [sys.executable, __file__, "--step", step, "--folder", folder, "--cases", case.name]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CODRUN_HOME": f"{folder}/store"}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
        found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        return found


def make(case: Case, folder: Path) -> None:
    """The folders of a student and of a teacher without weights, and a data set: both are there for their shapes."""
    from true_shapes import PAIRS, write_pair

    pair = PAIRS[case.pair]
    small = dataclasses.replace(pair, teacher={**pair.teacher, "num_hidden_layers": 1})
    teacher, _ = write_pair(small, [" ".join(WORDS)], folder)
    (teacher / "model.safetensors").unlink()
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps({**config, **pair.teacher}))
    (folder / "rows.csv").write_text("text,label\n")


def gigabytes(number: int) -> str:
    return f"{number / 1e9:.2f} GB"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one tiny case, to see that the script works")
    parser.add_argument("--cases", help="some of the cases, with commas between them")
    parser.add_argument("--json", type=Path, help="also write what was found into this file")
    parser.add_argument("--step", choices=["make", "measure"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    known = {case.name: case for case in (*CASES, *QUICK)}
    unknown = [name for name in (asked.cases or "").split(",") if name and name not in known]
    if unknown:
        parser.error(f"no case is called {unknown[0]}; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.cases.split(",")] if asked.cases else list(QUICK if asked.quick else CASES)
    if asked.step == "make":
        make(chosen[0], asked.folder)
    elif asked.step == "measure":
        print(json.dumps(measured(chosen[0], asked.folder)))
    else:
        found = print_table(chosen)
        if asked.json is not None:
            asked.json.write_text(json.dumps(found, indent=2))


def print_table(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Measure the cases, print a line of each as soon as it is known, and return what was found by the case's name."""
    found = {}
    print("| case | k | batch x tokens | measured | estimated | estimated / measured | by plan | mapped files |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in cases:
        one = found[case.name] = run_case(case)
        print(
            f"| {case.name} | {case.k} | {case.batch} x {case.words or case.tokens} | {gigabytes(one['own'])} | "
            f"{gigabytes(one['estimated'])} | {one['estimated'] / one['own']:.2f} | {gigabytes(one['by plan'])} | "
            f"{gigabytes(one['mapped'])} |",
            flush=True,
        )
    return found


if __name__ == "__main__":
    main()
