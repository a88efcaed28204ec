"""Kills runs that have worker processes, at chosen or random moments of each stage, and runs them again:
``python killed_workers.py FOLDER KIND [--moments N] [--stages NAMES] [--executor NAME] [STAGE/WHO/WHEN...]``.

``KIND`` is ``plain``: a small recipe of vectors, or ``paid``: a fine-tuned text model that comes from a hub, a data set
that the ``datasets`` library converts, counterfactuals by a language model that is paid for each call. ``WHO`` is
``head``, ``worker`` or ``all``; or ``disk``, where the workers can write no file of more than a kilobyte from then on,
or ``memory``, where they get no more memory. ``WHEN`` is a time in seconds after the stage began, or after it has a
worker where one is killed, or ``#`` and the number of a call in it that changes a file's name or waits for the disk.

Prints a JSON line for the undisturbed run, then one for each kill: the stage, who was killed and when, and everything
that is wrong afterwards, which should be nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killed_recipe import RECIPE

HERE = Path(__file__).parent
ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
SECONDS_AT_MOST = 240.0
KILOBYTE = 1024
DIFFERS = re.compile(
    r"home/uses/.*\.json|run/\.id|run/\.report\.json|run/report\.html|run/run\.(json|log)|home/llm\.sqlite.*|.*/teacher\.json|"
    r"home/signals/signals\.sqlite|home/pairs/pairs\.sqlite"
)
"""Files that hold times, or the order in which things came."""
EVENTS = re.compile(
    rb"(?m)^- (fetching the model|the worker process of .* died|.* ran out of memory|"
    rb".* since memory ran out|In the whole run, teacher and generators).*\n"
)
"""Notes of what happened in one call and not in another, and what may have been paid: a call that a kill interrupts."""
LOGS_OF_THE_DEAD = re.compile(r"run/(submitit/.*_log\.(out|err)|workers\.log) is left over")
"""What workers said before they died, which is kept."""
CONCURRENCY = 3
PAID = """
recipe: 1
name: paid
describe: Does a sentence praise a film?
dataset: {use: hub, path: ./films, labels: [bad, fine], text: text, label: label}
k: [8]
seeds: [0, 1]
teacher: {use: transformers, model: me/tiny, finetune: {rows: 400, epochs: 3, lr: 0.005, batch_size: 32}}
student: {use: transformers, layers_from_teacher: [1]}
counterfactuals:
  generators:
    - {use: litellm, model: openai/local, api_base: "ADDRESS", candidates: [1, 2], prompt: sentiment,
       concurrency: 3, retries: 1}
methods: {kd: [hard, {use: kd, weight: 5}]}
train: {steps: 4, lr: 0.001}
budget: {calls: 400}
"""


@dataclass(frozen=True)
class Stage:
    """What a stage is where nothing disturbs it."""

    seconds: float
    calls: int
    """That change a file's name or wait for the disk, of the head."""


@dataclass(frozen=True)
class Trial:
    """What one kill is."""

    stage: str
    who: str
    """``head``, ``worker`` or ``all``; ``disk`` or ``memory`` where the workers get no more of it."""
    seconds: float
    """After the stage has begun, or after it has a worker where one is killed."""
    calls: int | None = None
    """The head kills itself before this call that changes a file's name or waits for the disk; None: by time."""

    @classmethod
    def named(cls, text: str) -> Trial:
        """``students/head/0.2`` or ``signals/head/#12``."""
        stage, who, when = text.split("/")
        return cls(stage, who, 0.0, int(when[1:])) if when.startswith("#") else cls(stage, who, float(when))

    @property
    def told(self) -> str:
        when = f"after {self.seconds:.3f} s" if self.calls is None else f"before call {self.calls}"
        return f"{self.who} in {self.stage}, {when}"


def drawn(stages: Mapping[str, Stage], moments: int, seed: int) -> list[Trial]:
    """Random ones, so many in each stage."""
    numbers = random.Random(seed)
    trials = []
    for name, stage in stages.items():
        for _ in range(moments):
            who = numbers.choice(("head", "worker", "all")) if name == "students" else "head"
            counts = who == "head" and stage.calls > 0 and numbers.random() < 0.5
            calls = numbers.randrange(stage.calls) if counts else None
            trials.append(Trial(name, who, numbers.random() * stage.seconds, calls))
    return trials


class Trials:
    """Runs a recipe undisturbed, then killed at one moment after another."""

    def __init__(self, root: Path, kind: str, executor: str) -> None:
        self.root, self.executor = root, executor
        self.recipe = root / f"{kind}.yaml"
        self.served: subprocess.Popen[str] | None = None
        self.flags: list[str] = []
        self.may_end = ("disk", "memory", "worker") if executor != "processes" else ("disk", "memory")
        """Where the disturbed run may end with an error; of a cluster any process may be the one that was killed."""
        text = RECIPE if kind == "plain" else PAID.replace("ADDRESS", self._served())
        self.recipe.write_text(text)
        import heads  # once HF_HOME and HF_ENDPOINT are set

        self.heads = heads
        self.reference = root / "reference"
        self._clear(self.reference)
        modules = root / "modules"
        heads.write_modules(modules, self._arguments(self.reference, jobs=1), self._environment(self.reference))
        heads.start_server(modules)

    def _served(self) -> str:
        """Starts the servers, which write the data, and sets the hub's address; returns the language model's."""
        self.served = subprocess.Popen(
            [sys.executable, str(HERE / "served.py"), str(self.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.served.stdout is not None
        model, models = (self.served.stdout.readline().strip() for _ in range(2))
        os.environ["HF_ENDPOINT"] = models
        self.flags = ["--allow-host", model.split("/")[2]]
        return model

    def head(self, folder: Path, trial: Trial | None = None, *, again: bool = False) -> Any:
        """Starts a run, which draws figures where the trial is about the report."""
        dies = None if trial is None or trial.calls is None or again else (trial.stage, trial.calls)
        arguments = [*self._arguments(folder, jobs=2), "--executor", self.executor]
        draws = trial is None or trial.stage == "report"
        return self.heads.Head(arguments, self._environment(folder), folder / "output", dies, draws=draws)

    def _arguments(self, folder: Path, jobs: int) -> list[str]:
        return [str(self.recipe), "--out", str(folder / "run"), "--quiet", "--jobs", str(jobs), *self.flags]

    def _environment(self, folder: Path) -> dict[str, str]:
        return {"CODRUN_HOME": str(folder / "home"), "OPENAI_API_KEY": "none"}

    def undisturbed(self, folder: Path) -> dict[str, Stage]:
        """What each stage takes."""
        self._clear(folder)
        head = self.head(folder)
        began = [(time.monotonic(), name, calls) for name, calls in head.stages()]
        assert head.end() == 0, (folder / "output").read_text()
        return {
            name: Stage(then - now, after - before)
            for (now, name, before), (then, _, after) in itertools.pairwise(began)
        }

    def _clear(self, folder: Path) -> None:
        shutil.rmtree(self.root / "hf", ignore_errors=True)
        folder.mkdir()

    def asked(self) -> list[str]:
        """Every question that the language model has heard."""
        path = self.root / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _wait_for_a_worker(self, head: Any, folder: Path) -> None:
        until = time.monotonic() + SECONDS_AT_MOST
        while not self.heads.workers(folder) and time.monotonic() < until and not head.ends_within(0.01):
            continue

    def _disturb(self, who: str, head: Any, workers: list[int]) -> None:
        if who in ("head", "all"):
            head.kill()
        if who in ("worker", "all"):
            self.heads.kill_workers(workers if who == "all" else workers[:1])
        if who == "disk":
            self.heads.limit_files(workers, KILOBYTE)
        if who == "memory":
            self.heads.limit_memory(workers)

    def killed(self, folder: Path, trial: Trial) -> dict[str, Any]:
        """Run, kill, run again; what is told of it."""
        self._clear(folder)
        before = len(self.asked())
        head = self.head(folder, trial)
        reached = head.wait_for(trial.stage)
        if trial.calls is not None:
            head.ends_within(SECONDS_AT_MOST)
        elif trial.who != "head":
            self._wait_for_a_worker(head, folder)
        head.ends_within(trial.seconds)
        found = self.heads.workers(folder)
        if reached and trial.calls is None:
            self._disturb(trial.who, head, found)
        first = head.end()
        had, asked = recorded(folder), len(self.asked())
        code = self.head(folder, trial, again=True).end()
        late = self.heads.orphans(folder)
        self.heads.kill_workers(late)
        questions = self.asked()[asked:]
        wrong: list[str] = []
        if first not in (0, -9) and not (first == 1 and trial.who in self.may_end):
            wrong.append(f"the disturbed run ended with {first}")
        if trial.who == "disk" and (said := unforeseen(folder / "output")):
            wrong.append(said)
        if code != 0:
            wrong.append(f"the second run ended with {code}: {(folder / 'output').read_text()[-600:]}")
        if late:
            wrong.append(f"{len(late)} workers outlived their head")
        if set(questions) & had:
            wrong.append(f"{len(set(questions) & had)} questions whose answer was on the disk were asked again")
        if len(questions) != len(set(questions)):
            wrong.append("the second run asked a question twice")
        wrong += [
            each
            for each in differences(folder, self.reference)
            if (trial.stage == "report" or not each.startswith("run/figures/")) and not LOGS_OF_THE_DEAD.fullmatch(each)
        ]
        return {
            "told": trial.told, "stage": trial.stage, "who": trial.who, "first": first, "workers": len(found),
            "asked": len(self.asked()) - before, "wrong": wrong,
        }  # fmt: skip

    def main(self, moments: int, seed: int, names: list[str], chosen: list[str]) -> None:
        """Each of the ``chosen`` trials, then so many random ones in each stage of these names, or in all."""
        trials = [Trial.named(text) for text in chosen]
        if moments:
            other = self.root / "other"
            self.undisturbed(other)  # which waits until the fork server has imported everything
            shutil.rmtree(other)
            stages = self.undisturbed(other)
            told = {name: [round(each.seconds, 3), each.calls] for name, each in stages.items()}
            print(json.dumps({"stages": told, "wrong": differences(other, self.reference)}), flush=True)
            trials += drawn({name: stages[name] for name in names or stages}, moments, seed)
        for number, trial in enumerate(trials):
            folder = self.root / "now"
            told_of = self.killed(folder, trial)
            print(json.dumps(told_of), flush=True)
            if told_of["wrong"]:
                folder.rename(self.root / f"wrong-{number}")
            else:
                shutil.rmtree(folder)

    def end(self) -> None:
        if self.served is not None and self.served.stdin is not None:
            self.served.stdin.close()
            self.served.wait()


def recorded(folder: Path) -> set[str]:
    """The questions whose answers are on the disk."""
    from served import question

    from cod_runner.api import Ledger

    path = folder / "home" / "llm.sqlite"
    if not path.exists():
        return set()
    copy = folder / "copy.sqlite"  # opening it would end what the kill has left
    for suffix in ("", "-wal"):
        if path.with_name(path.name + suffix).exists():
            shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    ledger = Ledger(copy)
    found = {question(row) for row in ledger.rows()}
    ledger.close()
    for each in folder.glob("copy.sqlite*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    return found


def unforeseen(output: Path) -> str:
    """What is wrong with what a run said that had to end in one sentence."""
    said = output.read_text()
    return f"it said {said[-900:]}" if "Traceback" in said or "raised" in said else ""


def contents(folder: Path) -> dict[str, str]:
    """Everything that lies in a run's folder and its store: the digest of each file, without what is a time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == "output":
            continue
        content = path.read_bytes()
        if name.endswith("cells.jsonl"):
            lines = [json.loads(line) for line in content.splitlines()]
            content = "\n".join(
                sorted(json.dumps({key: line[key] for key in line if "seconds" not in key}) for line in lines)
            ).encode()
        elif name.endswith(".md"):
            content = EVENTS.sub(b"", content)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def differences(folder: Path, reference: Path) -> list[str]:
    """What is other than in the undisturbed run."""
    found, wanted = contents(folder), contents(reference)
    wrong = [f"{name} is left over" for name in sorted(found.keys() - wanted.keys())]
    wrong += [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        if not DIFFERS.fullmatch(name) and found[name] != wanted[name]:
            wrong.append(f"{name} differs")
        elif name.endswith(".json"):
            try:
                json.loads((folder / name).read_bytes())
            except ValueError as error:
                wrong.append(f"{name} is torn: {error}")
    return wrong


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kind", choices=["plain", "paid"])
    parser.add_argument("--moments", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", default="")
    parser.add_argument("--executor", default="processes")
    parser.add_argument("trials", nargs="*")
    given = parser.parse_intermixed_args(arguments)
    root = given.folder.absolute()
    root.mkdir(parents=True, exist_ok=True)
    os.environ.update(ENVIRONMENT, HF_HOME=str(root / "hf"))
    every = Trials(root, given.kind, given.executor)
    try:
        every.main(given.moments, given.seed, list(filter(None, given.stages.split(","))), given.trials)
    finally:
        every.end()


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main(sys.argv[1:])
