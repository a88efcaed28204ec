"""How long `codrun` takes where a run has very many cells and the store very many entries, without training any.

    python benchmarks/scale.py [--cells 1000] [--entries 10000] [--program codrun] [--quick]

Makes a store and a finished run in a temporary folder: a line of ``cells.jsonl``, training losses and a saved student
(its record, no weights) for each cell, and files in the shape of signals, fitted losses, teachers and embeddings. Then
every command runs as a process of its own, ``--repeat`` times, and the least processor time (user + system seconds, all
threads, children included) is printed as one table. What a command writes is checked: its exit code, and that no cell
ran. ``--program`` may be given more than once, to compare two versions: they take turns on the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cod_runner.calling import Asked
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of, settings_key
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.records import CellRow
from cod_runner.runs.student_record import HeldOut, SavedComponent, StudentRecord
from cod_runner.signal_tables import SCHEMA
from cod_runner.store import content_key

RECIPE = """\
recipe: 1
name: many_cells
describe: Does a sentence praise a film?
dataset: rotten_tomatoes
k: [8, 16]
seeds: {seeds}
teacher: {{use: transformers, model: ./model, finetune: {{rows: 3000, epochs: 1, lr: 1.0e-4, batch_size: 16}}}}
student: {{use: transformers, model: ./model}}
counterfactuals: {{generators: [lexicon]}}
methods:
  kd: [hard, {{use: kd, weight: 20, temperature: 2}}]
  lwd: [hard, {{use: kd, weight: 20, temperature: 2}}, {{use: lwd, weight: 20}}]
train: {{steps: 100, batch_size: 8, lr: 1.0e-4}}
trackers: []
"""
CELLS_A_SEED = 8
"""Two methods, two arms, two k."""
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
}
LABELS = ("negative", "positive")


@dataclass(frozen=True)
class Command:
    """A row of the table."""

    what: str
    words: tuple[str, ...]
    said: str = ""
    """Must be in what it prints, so that a command which did nothing is not timed."""


def main() -> None:
    """Make the files, run the commands, print the table."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="codrun-scale-") as name:
        folder = Path(name)
        os.environ["CODRUN_HOME"] = str(folder / "store")
        recipe, run = folder / "many_cells.yaml", folder / "runs" / "many_cells"
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text(json.dumps(CONFIG))
        recipe.write_text(RECIPE.format(seeds=list(range(max(1, asked.cells // CELLS_A_SEED)))))
        registry = Registry.discover()
        cells = make_run(run, Asked(recipe).load(registry), registry)
        make_store(folder / "store", asked.entries)
        print(f"{cells:,} cells, {asked.entries:,} entries in the store; least of {asked.repeat}, processor seconds")
        print("| command |" + "".join(f" {program} |" for program in asked.program))
        print("|---|" + "---:|" * len(asked.program))
        for command in commands(recipe, run, cells):
            times = timed(command, [shlex.split(program) for program in asked.program], asked.repeat)
            print(f"| {command.what} |" + "".join(f" {seconds:.2f} |" for seconds in times), flush=True)


def commands(recipe: Path, run: Path, cells: int) -> Iterator[Command]:
    """What is timed, in this order: the second report finds what the first wrote."""
    yield Command("--help", ("--help",), "Few-shot")
    yield Command("validate", ("validate", str(recipe)), "valid")
    yield Command("plan", ("plan", str(recipe), "--out", str(run)), f"{cells} done, 0 to run")
    yield Command("run, every cell done", ("run", str(recipe), "--out", str(run)), "report.html")
    yield Command("run, every cell done, again", ("run", str(recipe), "--out", str(run)), "report.html")
    yield Command("report", ("report", str(run)))
    yield Command("pick", ("pick", str(run), "--quiet"), "students")
    yield Command("store list", ("store", "list"), "signals")
    yield Command("store prune --unused, refused", ("store", "prune", "--unused", "--days", "0"), "delete these")


def timed(command: Command, programs: Sequence[Sequence[str]], repeat: int) -> list[float]:
    """The least processor seconds of each program, which take turns."""
    least = [float("inf")] * len(programs)
    for _ in range(repeat):
        for number, program in enumerate(programs):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run([*program, *command.words], input="n\n", capture_output=True, text=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if command.said not in done.stdout + done.stderr or "Traceback" in done.stderr:
                sys.exit(f"{command.what} said:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            least[number] = min(least[number], spent)
    return least


def make_run(path: Path, loaded: LoadedRecipe, registry: Registry) -> int:
    """A run whose every cell is finished; returns how many there are."""
    recipe, cells, draw = loaded.recipe, cells_of(loaded.recipe, registry), random.Random(0)
    folder = RunFolder(path)
    path.mkdir(parents=True)
    record = folder.begin(loaded, registry, [cell.key for cell in cells], settings_key(recipe, registry))
    record.teacher, record.students = {"accuracy": 0.8}, "all"
    folder.write_record(record)
    (path / "training").mkdir()
    lines = []
    for cell in cells:
        measured = {use.use: draw.random() for use in recipe.evaluate.metrics}
        losses = {term: draw.random() for term in ("hard", "kd", "lwd")[: len(recipe.methods[cell.method])]}
        row = CellRow(
            cell.key, cell.method, cell.arm, cell.k, cell.seed, measured, steps=100, training_rows=cell.k,
            labelled=cell.k // 2, added=cell.k // 2, teacher_queries=40, generator_calls=30, redrawn=1, yield_=0.9,
            losses=losses, held_out_rows=20, held_out_accuracy=draw.random(), held_out_loss=draw.random(),
            temperature=1.5, calibration_error=0.1, calibrated_error=0.05, select="last", precision="fp32",
            device="cpu", train_seconds=1.0, seconds=2.0,
        )  # fmt: skip
        lines.append(json.dumps(row.to_json()))
        steps = [
            json.dumps({"key": cell.key, "step": step, "losses": {name: draw.random() for name in losses}})
            for step in range(1, 101)
        ]
        (path / "training" / f"{cell.name}.jsonl").write_text("\n".join(steps) + "\n")
        _make_student(path / "students" / cell.name, row, draw)
    folder.cells.write_text("\n".join(lines) + "\n")
    folder.write_lines(folder.counterfactuals, [_pair(number, draw) for number in range(max(20, len(cells) // 4))])
    return len(cells)


def _make_student(folder: Path, row: CellRow, draw: random.Random) -> None:
    folder.mkdir(parents=True)
    record = StudentRecord(
        student=SavedComponent(use="transformers", options={"model": "model"}), labels=LABELS, recipe="many_cells",
        key=row.key, method=row.method, arm=row.arm, k=row.k, seed=row.seed, metrics=dict(row.metrics),
        temperature=1.5, held_out=HeldOut(labels=[0, 1] * 10, logits=[[draw.random(), 0.5] for _ in range(20)]),
    )  # fmt: skip
    (folder / "student.json").write_text(json.dumps(record.model_dump(mode="json")))
    (folder / "config.json").write_text(json.dumps(CONFIG))


def _pair(number: int, draw: random.Random) -> dict[str, object]:
    """A line of ``counterfactuals.jsonl``."""
    text = " ".join(draw.choice(["a", "film", "that", "was", "dull", "and", "long"]) for _ in range(15))
    before, after = [0.8, 0.2], [0.3, 0.7]
    attempt = {
        "text": f"{text} bright", "generator": "lexicon", "round": 0, "reason": None, "teacher": after, "edits": 2.0,
        "tier": 0, "usd": 0,
    }  # fmt: skip
    return {
        "pair_id": f"row-{number}~cf", "source_id": f"row-{number}", "original": text,
        "counterfactual": f"{text} bright", "gold": "negative", "from_label": "negative", "target": "positive",
        "label": "positive", "teacher_before": before, "teacher_after": after, "verified": True, "edits": 2.0,
        "minimality": 0.13, "generator": "lexicon", "attempts": [attempt], "reasons": {}, "queries": 3,
    }  # fmt: skip


def make_store(root: Path, entries: int) -> None:
    """Six tenths hidden states of ten teachers, three tenths fitted losses, the rest teachers and embeddings."""
    from cod_runner.files import open_database

    (root / "signals").mkdir(parents=True)
    connection = open_database(root / "signals" / "signals.sqlite", SCHEMA)
    for teacher in range(1, 11):
        connection.execute("insert into teacher values (?, ?, 'cpu', '{}')", (teacher, f"teacher {teacher}"))
    for number in range(entries):
        key = content_key(number)
        kind = number % 10
        if kind < 6:
            teacher = number % 7 + 1
            connection.execute("insert into answer values (?, ?, ?, ?, 0)", (teacher, bytes.fromhex(key), b"12", b"34"))
            path = root / "signals" / "hidden" / str(teacher) / key[:2] / f"{key}.safetensors"
        elif kind < 9:
            path = root / "losses" / key / "fitted.safetensors"
        elif number % 20 == 9:
            path = root / "teachers" / key / "teacher.json"
        else:
            path = root / "embeddings" / f"{key}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    connection.commit()
    connection.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=10_000, help="files in the store")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="48 cells, 200 entries, each command once")
    parser.add_argument("--program", action="append", help="a command line that runs codrun; else the one installed")
    asked = parser.parse_args()
    if asked.quick:
        asked.cells, asked.entries, asked.repeat = 48, 200, 1
    asked.program = asked.program or [shutil.which("codrun") or f"{sys.executable} -m cod_runner.cli"]
    return asked


if __name__ == "__main__":
    main()
