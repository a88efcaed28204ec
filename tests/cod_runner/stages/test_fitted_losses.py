"""Under what name a cell keeps what its losses fit before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cod_runner.api import Example
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.stages.students import CellTask, fitted_key
from cod_runner.stages.teacher import TeacherSource

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
    source = TeacherSource(recipe, ("no", "yes"), "cpu", offline=True)
    task = CellTask(cell, source, "teacher", rows, {}, (), (), tmp_path / "students", tmp_path / "store")
    others = [
        replace(task, cell=replace(cell, key="another")),
        replace(task, fingerprint="another"),
        replace(task, training=(rows[0], replace(rows[1], input="a bad film"))),
        replace(task, training=(rows[0], replace(rows[1], label=1))),
        replace(task, teacher=replace(source, device="cuda")),
        replace(task, teacher=replace(source, recipe=low)),
    ]
    assert len({fitted_key(each) for each in [task, *others]}) == 7
    elsewhere = replace(task, students=tmp_path / "b", store=tmp_path / "c", evaluation=rows, facts={"yield": 1.0})
    assert fitted_key(elsewhere) == fitted_key(task)
