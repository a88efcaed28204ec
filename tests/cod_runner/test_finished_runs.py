"""A run in which every cell is finished: it loads nothing that trains or draws, and says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cod_runner.calling import Asked
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of, settings_key
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.records import CellRow

RECIPE = """\
recipe: 1
name: finished
dataset: moons
k: [4, 8]
seeds: [0, 1]
teacher: mlp
student: mlp
methods: {kd: [hard, {use: kd, weight: 1}]}
arms: [plain]
train: {steps: 10}
evaluate: {metrics: [accuracy]}
trackers: []
"""
HEAVY = ("torch", "transformers", "datasets", "litellm", "pandas", "sklearn", "matplotlib", "numpy", "jinja2")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe, with a run beside it in ``run`` that has a line for each cell."""
    path = tmp_path / "finished.yaml"
    path.write_text(RECIPE)
    registry = Registry.discover()
    loaded = Asked(path).load(registry)
    cells = cells_of(loaded.recipe, registry)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.write_record(
        folder.begin(loaded, registry, [cell.key for cell in cells], settings_key(loaded.recipe, registry))
    )
    for number, cell in enumerate(cells):
        folder.append_row(CellRow(cell.key, cell.method, cell.arm, cell.k, cell.seed, {"accuracy": number / 10}))
    return path


def called(recipe: Path) -> tuple[dict[str, object], list[str]]:
    """(what `codrun --json` prints, which of :data:`HEAVY` it imported)"""
    code = (
        "import sys; from cod_runner.cli import call; code = call(sys.argv[1:]); "
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    arguments = [str(recipe), "--out", str(recipe.parent / "run"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CODRUN_HOME": str(recipe.parent / "store")},
    )
    assert done.returncode == 0, done.stderr
    said, _, heavy = done.stdout.rpartition("HEAVY")
    return json.loads(said), heavy.split()


def test_it_loads_what_draws_once_and_never_torch(recipe: Path) -> None:
    first, heavy = called(recipe)
    assert heavy == ["matplotlib", "numpy", "jinja2"]
    page = (recipe.parent / "run" / "report.html").stat()
    second, heavy = called(recipe)
    assert heavy == []
    assert (recipe.parent / "run" / "report.html").stat().st_mtime_ns == page.st_mtime_ns
    assert first == second
