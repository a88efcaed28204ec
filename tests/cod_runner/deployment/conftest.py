"""A run on texts, small enough to be made for the tests of what follows a run."""

from __future__ import annotations

import pytest
from text_runs import TextRun

from cod_runner import running
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert

RECIPE = """
recipe: 1
name: films
describe: Is a film praised?
dataset: {use: csv, path: films.csv, labels: [bad, good]}
k: [4, 8]
seeds: [0, 1]
teacher: {use: transformers, model: ./teacher, finetune: {rows: 12, steps: 2, lr: 1.0e-3, batch_size: 4}}
student: {use: transformers, layers_from_teacher: [1]}
methods: {kd: [hard, kd]}
arms: [plain]
train: {steps: 2, lr: 1.0e-3}
evaluate: {metrics: [accuracy, agreement]}
"""


@pytest.fixture(scope="session")
def made_text_run(tmp_path_factory: pytest.TempPathFactory) -> TextRun:
    """Made once; see ``text_run``."""
    home = tmp_path_factory.mktemp("films")
    tiny_bert(home / "teacher", [*SENTENCES, "the film was good bad"])
    data = home / "films.csv"
    lines = [f"the film was {'good' if row % 2 else 'bad'} {row},{'good' if row % 2 else 'bad'}" for row in range(40)]
    data.write_text("text,label\n" + "\n".join(lines) + "\n")
    recipe = home / "films.yaml"
    recipe.write_text(RECIPE)
    run = TextRun(home / "run", home / "store", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(run.store))
        registry = Registry.discover()
        loaded = load_recipe(recipe, registry)
        running.run(loaded, registry, RunSettings(out=run.folder, jobs=1), Progress(quiet=True))
    return run


@pytest.fixture
def text_run(made_text_run: TextRun, monkeypatch: pytest.MonkeyPatch) -> TextRun:
    """A finished run, its store in use; nothing in it may be changed."""
    monkeypatch.setenv("CODRUN_HOME", str(made_text_run.store))
    return made_text_run
