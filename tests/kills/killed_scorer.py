"""Runs a recipe whose teacher only answers in forked children, kills each when its teacher is asked about one text more
than a number, or after a delay, and runs it again until it ends: ``python killed_scorer.py FOLDER MOMENTS...``.

Moments are numbers, or delays as in ``12ms``, joined by ``+`` where a run is killed more than once. Prints a JSON line
with the number of texts that an undisturbed run asks about, then one for each: the exit code of the last run, whether
the cells are equal, the texts that only one of the two asked about, how many answers were asked for again, and what is
left behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from killed_runs import cells, child, ended, left

TESTS = Path(__file__).parents[1] / "cod_runner"
sys.path[:0] = [str(TESTS), str(TESTS / "stages")]

import opinions  # noqa: E402
import scorers  # noqa: E402

from cod_runner import running  # noqa: E402
from cod_runner.context import RunSettings  # noqa: E402
from cod_runner.progress import Progress  # noqa: E402
from cod_runner.recipe import load_recipe  # noqa: E402
from cod_runner.registry import Registry  # noqa: E402
from cod_runner.stages import results  # noqa: E402

RECIPE = """
recipe: 1
name: killed
dataset: films
k: [8]
seeds: [0]
teacher: {use: answers, shots: 4, calibration: {texts: 20}}
student: opinions_student
counterfactuals: {generators: [edits]}
arms: {plain: {}, cod: {add: flips}}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 2, batch_size: 8, lr: 0.01, precision: fp32}
"""


def run(folder: Path, dies_after: int | None = None) -> int:
    """The recipe with its store, its run's folder and its note of answers below ``folder``."""
    os.environ["CODRUN_HOME"] = str(folder / "home")
    torch.set_num_threads(1)
    registry = Registry.discover()
    registry.register("world", "opinions", lambda: opinions.World)
    registry.register("scorers", "scorers", lambda: scorers.Scorers)
    scorers.Answers.NOTE, scorers.Answers.DIES_AFTER = folder / "answered", dies_after
    loaded = load_recipe(folder.parent / "killed.yaml", registry)
    settings = RunSettings(out=folder / "run", jobs=1)
    with patch.object(results, "write_reports"):
        running.run(loaded, registry, settings, Progress(quiet=True))
    return 0


def answered(folder: Path) -> Counter[str]:
    path = folder / "answered"
    return Counter(path.read_text(encoding="utf-8").splitlines()) if path.exists() else Counter()


def killed_at(folder: Path, moment: str) -> None:
    """One run that ends at ``moment``, or before."""
    delay = moment.endswith("ms")
    work: Callable[[], int] = lambda: run(folder, None if delay else int(moment))  # noqa: E731
    number = child(work)
    if delay:
        time.sleep(int(moment.removesuffix("ms")) / 1000)
        os.kill(number, signal.SIGKILL)
    ended(number)


def main(root: Path, moments: list[str]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "killed.yaml").write_text(RECIPE)
    reference = root / "reference"
    reference.mkdir()
    assert ended(child(lambda: run(reference))) == 0
    wanted = answered(reference)
    print(json.dumps({"texts": len(wanted), "answers": wanted.total()}), flush=True)
    for index, moment in enumerate(moments):
        folder = root / f"{index}"
        folder.mkdir()
        for one in moment.split("+"):
            killed_at(folder, one)
        code = ended(child(lambda folder=folder: run(folder)))  # type: ignore[misc]
        found = answered(folder)
        told = {
            "moment": moment, "code": code, "equal": code == 0 and cells(folder) == cells(reference),
            "strange": sorted(set(found) ^ set(wanted)), "again": found.total() - len(found), "left": left(folder),
        }  # fmt: skip
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
