"""A whole run of four small cells, and what of it must be equal whatever ran the cells."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cod_runner

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 300, validation: 60}
k: [4]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 30, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: STEPS, lr: 0.02, batch_size: 4, precision: fp32}
"""


def tiny_recipe(folder: Path, executor: str = "processes", *, steps: int = 20) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(f"{RECIPE.replace('STEPS', str(steps))}executor: {executor}\n", encoding="utf-8")
    return path


def ran(folder: Path, executor: str, *, jobs: int, **settings: Any) -> dict[str, Any]:
    """What the cells came to, in a run of its own."""
    out = folder / f"run-{os.urandom(4).hex()}"
    cod_runner.run(tiny_recipe(folder, executor), out=out, jobs=jobs, device="cpu", **settings)
    return cells_of(out)


def cells_of(run: Path) -> dict[str, Any]:
    """Every line without its seconds, and the bytes of every student's weights, by key and by folder."""
    lines = [json.loads(line) for line in (run / "cells.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {line["key"]: {name: line[name] for name in line if "seconds" not in name} for line in lines}
    assert len(found) == len(lines)
    weights = {path.parent.name: path.read_bytes() for path in (run / "students").glob("*/*.safetensors")}
    return found | weights
