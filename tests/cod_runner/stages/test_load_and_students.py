"""What is loaded and checked before anything is trained: sizes compared, the rows that choose an epoch set apart."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cod_runner import running
from cod_runner.api import DataError, Example, Input
from cod_runner.context import RunSettings, opened_run
from cod_runner.data.cleaning import Dropped
from cod_runner.data.corpus import Corpus
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import cell
from cod_runner.stages.load import Experiment, load_experiment
from cod_runner.stages.rows import with_dev

RECIPE = """
recipe: 1
name: small
dataset: {use: moons, n: 200, validation: 60}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 30, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, kd]}
arms: [plain]
train: {epochs: 3, lr: 0.01}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def experiment_of(recipe: Path, progress: Progress, *overrides: str) -> Experiment:
    registry = Registry.discover()
    loaded = load_recipe(recipe, registry, overrides=overrides)
    with opened_run(loaded, registry, RunSettings(out=recipe.parent / "loaded"), progress) as context:
        return load_experiment(context)[0]


@pytest.mark.parametrize(("hidden", "warned"), [("[8]", False), ("[16]", True), ("[16, 16]", True)])
def test_a_student_as_large_as_its_teacher_is_warned_of(recipe: Path, hidden: str, warned: bool) -> None:
    progress = Progress(quiet=True)
    experiment_of(recipe, progress, f"student.hidden={hidden}")
    assert any("the student is as large as its teacher" in note for note in progress.notes) is warned


@pytest.mark.parametrize(("free", "warned"), [(100, True), (10**12, False)])
def test_students_that_will_not_fit_on_the_disk_are_said_before_anything_is_trained(
    recipe: Path, free: int, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    progress = Progress(quiet=True)
    experiment_of(recipe, progress)
    said = [note for note in progress.notes if "will not fit on the disk" in note]
    assert bool(said) is warned
    if warned:
        assert "students of" in said[0] and "--out" in said[0]


def corpus_of(rows: int) -> Corpus:
    pool = tuple(Example(f"train:{number}", f"text {number}", number % 2) for number in range(rows))
    return Corpus(("no", "yes"), pool, (Example("validation:1", "apart", 0),), (), Dropped())


@pytest.mark.parametrize(("rows", "wanted"), [(100, 20), (104, 20), (10_000, 500)])
def test_a_fifth_of_the_pool_at_most_500_rows_choose_the_epoch(rows: int, wanted: int) -> None:
    whole = corpus_of(rows)
    corpus, dev = with_dev(whole)
    assert len(dev) == wanted
    assert not {row.id for row in dev} & {row.id for row in corpus.pool}
    assert {row.id for row in (*dev, *corpus.pool)} == {row.id for row in whole.pool}
    assert corpus.evaluation == whole.evaluation
    assert {row.id for row in dev} != {row.id for row in whole.pool[:wanted]}, "drawn, not the first rows"


def test_a_pool_without_a_fifth_cannot_choose_the_epoch() -> None:
    assert len(with_dev(corpus_of(5))[1]) == 1
    with pytest.raises(
        DataError, match=r"chooses the epoch by a fifth of the pool, which has 4 rows: give more"
    ) as caught:
        with_dev(corpus_of(4))
    assert caught.value.setting == ("evaluate", "select")


def test_which_rows_they_are_depends_on_their_content_alone() -> None:
    whole = corpus_of(100)
    turned = Corpus(whole.labels, tuple(reversed(whole.pool)), whole.evaluation, (), Dropped())
    assert {row.id for row in with_dev(whole)[1]} == {row.id for row in with_dev(turned)[1]}


@pytest.mark.parametrize(
    ("select", "every_epoch"), [("last", None), ("best_dev", "dev"), ("best_reported", "evaluation")]
)
def test_each_select_looks_at_its_own_rows_after_every_epoch(
    recipe: Path, select: str, every_epoch: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[frozenset[Input]] = []
    trained_on: set[Input] = set()
    predict, train_student = cell.predict, cell.train_student

    def spied_predict(model: Any, inputs: Sequence[Input], **given: Any) -> Any:
        looked_at.append(frozenset(inputs))
        return predict(model, inputs, **given)

    def spied_train(model: Any, examples: Sequence[Example], *given: Any, **named: Any) -> Any:
        trained_on.update(example.input for example in examples)
        return train_student(model, examples, *given, **named)

    monkeypatch.setattr(cell, "predict", spied_predict)
    monkeypatch.setattr(cell, "train_student", spied_train)
    overrides = (f"evaluate.select={select}",)
    registry = Registry.discover()
    loaded = load_recipe(recipe, registry, overrides=overrides)
    settings = RunSettings(out=recipe.parent / "run", jobs=1)
    result = running.run(loaded, registry, settings, Progress(quiet=True))

    experiment = experiment_of(recipe, Progress(quiet=True), *overrides)
    rows = {
        "dev": frozenset(row.input for row in experiment.dev),
        "evaluation": frozenset(row.input for row in experiment.corpus.evaluation),
    }
    assert bool(rows["dev"]) is (select == "best_dev")
    in_between = [rows[every_epoch]] * 3 if every_epoch else []
    assert looked_at[:-1] == [*in_between, rows["evaluation"]]
    held_out = looked_at[-1]  # after all of it, and once
    assert held_out <= {row.input for row in experiment.corpus.pool} - trained_on
    assert len(held_out) > 100
    assert len(trained_on) == 8
    assert not trained_on & (rows["dev"] | rows["evaluation"])
    assert result.record.optimistic is (select == "best_reported")
    assert ("†" in (result.folder.path / "table.md").read_text()) is (select == "best_reported")
