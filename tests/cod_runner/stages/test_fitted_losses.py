"""Under what name a cell keeps what its losses fit before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cod_runner.api import Example, ModelShape
from cod_runner.context import WorkerContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.signals_file import SignalsFile
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.cell import CellTask, SharedByCells, fitted_key
from cod_runner.store import Store

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [4]
seeds: [0]
teacher: {use: mlp, finetune: {rows: 20, steps: 1}}
student: {use: mlp}
methods: {kd: [hard, kd]}
arms: [plain]
train: {steps: 1, precision: fp32}
"""


def test_all_that_decides_a_fit_is_in_its_name(tmp_path: Path) -> None:
    """A cell's key says what the recipe asks for: another teacher or other texts may stand behind the same one."""
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    registry = Registry.discover()
    recipe, low = (load_recipe(path, registry, overrides=more).recipe for more in ((), ("train.precision=bf16",)))
    cell = Cell("kd", "plain", 4, 0, "key")
    rows = (Example("a", "a fine film", 1), Example("a~cf", "a dull film", 0, "a", True))
    worker = WorkerContext(recipe, Store(tmp_path / "store"), "cpu", True, tmp_path / "students")
    source = TeacherSource(("no", "yes"), None, "teacher")
    signals = SignalsFile(tmp_path / "signals", tmp_path / "hidden", source.labels, ModelShape(1, 1, 2))
    task, shared = CellTask(cell, TrainingSet(rows)), SharedByCells(worker, source, (), (), signals)
    others = [
        (replace(task, cell=replace(cell, key="another")), shared),
        (replace(task, training=TrainingSet((rows[0], replace(rows[1], input="a bad film")))), shared),
        (replace(task, training=TrainingSet((rows[0], replace(rows[1], label=1)))), shared),
        (task, replace(shared, teacher=replace(source, fingerprint="another"))),
        (task, replace(shared, worker=replace(worker, device="cuda"))),
        (task, replace(shared, worker=replace(worker, recipe=low))),
    ]
    assert len({fitted_key(*each) for each in [(task, shared), *others]}) == 7
    elsewhere = replace(worker, students=tmp_path / "b", store=Store(tmp_path / "c"), offline=False)
    same = replace(task, training=TrainingSet(rows, redrawn=3, held_out=rows))
    assert fitted_key(same, replace(shared, worker=elsewhere, evaluation=rows)) == fitted_key(task, shared)
