"""A repository that develops a plugin, a metric, and has a recipe that uses it; its working tree has moved on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.revisions.repository import without_repository

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


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git in the repository."""

    def run(*words: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        environment = without_repository(os.environ)
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path / "repo", env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repo(tmp_path: Path, git: Callable[..., str]) -> Path:
    """A repository with one commit, on the branch ``main``."""
    folder = tmp_path / "repo"
    write_plugin(folder, "sample_old", 0.9)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "watched.yaml").write_text(RECIPE)
    (folder / ".gitignore").write_text("__pycache__/\n")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    return folder
