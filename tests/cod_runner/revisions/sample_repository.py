"""A recipe, and the plugin with the metric that it uses, as a repository holds them."""

from __future__ import annotations

from pathlib import Path

RECIPE = """
recipe: 1
name: watched
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [8], finetune: {rows: 100, steps: 30, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [4]}
arms: [plain]
methods: {kd: [hard, kd]}
train: {steps: 60, lr: 0.01}
students: none
evaluate: {metrics: [accuracy, steady]}
"""
PLUGIN = """
from cod_runner.api import Component, Options, hookimpl

@hookimpl
def codrun_components():
    yield Component("metric", "steady", Options, "MODULE.measured:Steady", "a number", title="A number")
"""
MEASURED = """
class Steady:
    def __init__(self, options, context):
        pass

    def __call__(self, predictions):
        return NUMBER
"""
PROJECT = """
[project]
name = "sample_plugin"
version = "1"

[project.entry-points.codrun]
sample = "MODULE.plugin"
"""


def write_plugin(folder: Path, module: str, number: float) -> None:
    """The plugin as a revision has it."""
    package = folder / "src" / module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(PLUGIN.replace("MODULE", module))
    (package / "measured.py").write_text(MEASURED.replace("NUMBER", str(number)))
    (folder / "pyproject.toml").write_text(PROJECT.replace("MODULE", module))
