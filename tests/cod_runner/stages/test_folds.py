"""Cross-validation: each row is measured once, on students, teachers and counterfactuals that never saw it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import opinions
import pytest
import scorers
from opinions import sentence

from cod_runner import pipeline, running
from cod_runner.api import BuildContext, Component, Example, LoadedData, Options, hookimpl
from cod_runner.context import RunSettings, opened_run
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.runs.identity import teacher_identity
from cod_runner.stages import calibrate, cell, results, teacher
from cod_runner.stages.load import load_experiment

ROWS = 47
RECIPE = """
recipe: 1
name: folds
dataset: undivided
k: [4]
seeds: [0, 1, 2]
teacher: {use: answers, shots: 4}
student: opinions_student
counterfactuals: {generators: [edits]}
methods: {kd: [hard, kd]}
train: {steps: 1, batch_size: 4, lr: 0.01, precision: fp32}
evaluate: {folds: 3, metrics: [accuracy, agreement]}
"""
TAUGHT = "teacher={use: taught, finetune: {rows: 1000, steps: 40, batch_size: 8, lr: 0.05, precision: fp32}}"


class UndividedOptions(Options):
    shuffled: int = 0
    relabelled: int = 0
    """So many rows of the second class are of the first."""
    split: str = "train"


class Undivided:
    """Rows without an evaluation split; which of them is which is in the text alone."""

    def __init__(self, options: UndividedOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        last = ROWS - 2 * self.options.relabelled
        texts = [(sentence(number), number % 2 if number < last else 0) for number in range(ROWS)]
        random.Random(self.options.shuffled).shuffle(texts)
        rows = [Example(f"train:{place}", text, label) for place, (text, label) in enumerate(texts)]
        return LoadedData(("negative", "positive"), {self.options.split: rows})


class Taught(opinions.Student):
    """A teacher that is fine-tuned."""


class Plugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("dataset", "undivided", UndividedOptions, f"{__name__}:Undivided", "rows")
        yield Component("teacher", "taught", Options, f"{__name__}:Taught", "is fine-tuned")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    for module, plugin in ((opinions, opinions.World), (scorers, scorers.Scorers), (None, Plugin)):
        name = module.__name__ if module else __name__
        found.register(name, name, lambda plugin=plugin: plugin)
    return found


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def run(registry: Registry, *changes: str, out: str = "out", **flags: Any) -> running.RunResult:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry, overrides=changes, flags=flags)
    with patch.object(results, "write_reports"):  # they take longer than such a run
        return running.run(loaded, registry, RunSettings(out=Path(out), jobs=1), Progress(quiet=True))


def cells(out: str) -> dict[tuple[str, int], dict[str, Any]]:
    lines = [json.loads(line) for line in Path(out, "cells.jsonl").read_text().splitlines()]
    return {(line["arm"], line["seed"]): {k: v for k, v in line.items() if "seconds" not in k} for line in lines}


def pairs(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(out, "counterfactuals.jsonl").read_text().splitlines()]


def record(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "run.json").read_text())
    return {name: found[name] for name in ("teacher", "data", "folds", "quality", "shared_queries")}


class Watched:
    """What a run trains on, is told and is measured on, fold by fold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[set[str]] = []
        self.measured: list[set[str]] = []
        load, fit, tune = pipeline.load_experiment, cell.train_student, teacher.finetune_teacher
        calibrated = calibrate.texts_of_calibration

        def loading(context: Any, fold: int | None) -> Any:
            experiment, made = load(context, fold)
            self.measured.append({str(row.input) for row in experiment.corpus.evaluation})
            self.made.append({str(row.input) for row in experiment.shots})
            return experiment, made

        def noted(rows: Sequence[Example]) -> None:
            self.made[-1] |= {str(row.input) for row in rows}

        def fitting(model: Any, rows: Sequence[Example], *given: Any, **named: Any) -> Any:
            noted(rows)
            return fit(model, rows, *given, **named)

        def tuning(model: Any, rows: Sequence[Example], *given: Any, **named: Any) -> Any:
            noted(rows)
            return tune(model, rows, *given, **named)

        def reading(pool: Sequence[Example], count: int) -> list[Example]:
            rows = calibrated(pool, count)
            noted(rows)
            return rows

        monkeypatch.setattr(pipeline, "load_experiment", loading)
        monkeypatch.setattr(cell, "train_student", fitting)
        monkeypatch.setattr(teacher, "finetune_teacher", tuning)
        monkeypatch.setattr(calibrate, "texts_of_calibration", reading)


@pytest.mark.parametrize("change", ["name=folds", TAUGHT, "evaluate.select=best_dev"])
def test_no_row_is_measured_by_anything_that_saw_it(
    registry: Registry, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    run(registry, change)
    every = sorted(sentence(number) for number in range(ROWS))
    assert sorted(text for measured in watched.measured for text in measured) == every, "each row exactly once"
    assert [len(measured) for measured in watched.measured] == [16, 16, 15]
    for measured, made in zip(watched.measured, watched.made, strict=True):
        assert len(made) >= 12 and not measured & made
    for line in pairs("out"):
        measured = watched.measured[line["fold"]]
        assert line["original"] not in measured and line["counterfactual"] not in measured
    assert {line["fold"] for line in pairs("out")} == {0, 1, 2}


def test_a_cell_does_not_depend_on_which_other_folds_ran(registry: Registry) -> None:
    """Nor on the order of the rows; and a run that goes on fold by fold leaves what one at once leaves."""
    run(registry, out="whole")
    for seed in (2, 0):
        run(registry, out="parts", seeds=[seed])
    run(registry, out="parts")
    assert cells("parts") == cells("whole") and len(cells("whole")) == 6
    assert record("parts")["teacher"] == record("whole")["teacher"]
    assert record("parts")["folds"] == record("whole")["folds"]
    counted = {"folds": 3, "pool rows": "27 to 28", "evaluation rows": 47}
    assert counted.items() <= record("parts")["data"].items()
    run(registry, "dataset.shuffled=5", out="shuffled")
    for place, line in cells("shuffled").items():
        assert line["accuracy"] == cells("whole")[place]["accuracy"]


def test_a_resumed_run_keeps_the_lines_and_measures_of_finished_folds(registry: Registry) -> None:
    run(registry, out="whole")
    before, known = pairs("whole"), record("whole")
    lines = Path("whole/cells.jsonl").read_text().splitlines(keepends=True)
    Path("whole/cells.jsonl").write_text("".join(line for line in lines if json.loads(line)["seed"] != 1))
    run(registry, out="whole")
    assert pairs("whole") == before
    assert record("whole") == known
    searched = next(row for row in known["quality"] if row["name"] == "originals searched")
    assert searched["all"] == len(before) > max(sum(line["fold"] == fold for line in before) for fold in range(3))


def test_the_teachers_accuracy_is_that_over_all_rows(registry: Registry) -> None:
    run(registry, TAUGHT)
    known = record("out")
    by_fold = [fold["teacher"]["accuracy"] for fold in known["folds"].values()]
    right = sum(round(accuracy * rows) for accuracy, rows in zip(by_fold, (16, 16, 15), strict=True))
    assert known["teacher"]["accuracy"] == pytest.approx(right / ROWS)
    assert known["teacher"]["accuracy_by_fold"] == dict(zip("012", by_fold, strict=True))
    assert len({fold["teacher"]["fingerprint"] for fold in known["folds"].values()}) == 3, "a teacher for each"
    assert known["teacher"]["finetuned"] is True and "fingerprint" not in known["teacher"]


def test_a_recipe_with_folds_is_never_loaded_without_one(registry: Registry) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry)
    with (
        opened_run(loaded, registry, RunSettings(out=Path("x")), Progress(quiet=True)) as context,
        pytest.raises(ValueError, match="fold by fold"),
    ):
        load_experiment(context)


def test_keys_without_folds_are_as_before_and_those_with_folds_are_others(registry: Registry) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    Path("without.yaml").write_text(RECIPE.replace("folds: 3, ", ""))
    changes = [("recipe", []), ("recipe", ["evaluate.folds=5"]), ("recipe", ["evaluate.folds=null"]), ("without", [])]
    found = [load_recipe(Path(f"{name}.yaml"), registry, overrides=each).recipe for name, each in changes]
    three, five, null, absent = ([cell.key for cell in cells_of(recipe, registry)] for recipe in found)
    assert null == absent
    assert not set(three) & set(absent) and not set(three) & set(five)
    assert all("folds" not in json.dumps(teacher_identity(recipe, registry)) for recipe in found)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([0, 1, 2], None),
        ([3, 7, 11, 0, 1, 2], None),
        ([0, 1], "these seeds measure the rows of fold 2 never: take seeds 0 to 2"),
        ([0], "these seeds measure the rows of folds 1, 2 never: "),
        ([0, 1, 2, 3], "these seeds measure some rows more often than others"),
    ],
)
def test_seeds_that_measure_rows_unequally_are_warned_about(
    registry: Registry, seeds: list[int], said: str | None
) -> None:
    from cod_runner.plan import plan_of

    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry, flags={"seeds": seeds})
    warned = [warning for warning in plan_of(loaded, registry, None).warnings if "seed measures" in warning]
    assert [said in warning for warning in warned] == ([] if said is None else [True]), warned


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("dataset=films", "`folds` divides the rows of data without splits, and this has a split `validation`"),
        ("evaluate.split=test", None),
        ("dataset.split=validation", "give `evaluate.split` another name"),
        ("evaluate.folds=48", "the data has 47 rows, too few for 48 folds"),
        ("evaluate.folds=1000000000", "`evaluate.folds` must be at most 100, not"),
        ("evaluate.rows=10", "`rows` leaves rows unmeasured, and `folds` measures every row once"),
        ("k=[36]", "k=36 needs 18 originals of each class, and the training pool has 13 of the class `"),
    ],
)
def test_what_cannot_be_divided_is_refused_at_its_line(registry: Registry, change: str, sentence: str | None) -> None:
    written = RECIPE
    if change.startswith(("evaluate.", "dataset=")):
        key, value = change.rpartition(".")[2].split("=")
        old = {"dataset": "dataset: undivided", "folds": "folds: 3"}.get(key, "evaluate: {")
        new = {"dataset": f"dataset: {value}", "folds": f"folds: {value}"}.get(key, f"evaluate: {{{key}: {value}, ")
        written = RECIPE.replace(old, new)
        change = "name=folds"
    Path("recipe.yaml").write_text(written)
    with nullcontext() if sentence is None else pytest.raises(RecipeError) as caught:
        loaded = load_recipe(Path("recipe.yaml"), registry, overrides=[change])
        with loaded.pointing(), patch.object(results, "write_reports"):
            running.run(loaded, registry, RunSettings(out=Path("out"), jobs=1), Progress(quiet=True))
    if sentence is not None:
        shown = str(caught.value)
        assert sentence in shown
        assert "recipe.yaml:12:" in shown or not change.startswith("name")


def test_cfes_finds_those_of_every_fold(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry)
    found = running.find_counterfactuals(loaded, registry, RunSettings(out=Path("cfes")), Progress(quiet=True))
    assert [each.fold for each in found] == [0, 1, 2]
    run(registry, out="run")
    assert pairs("cfes") == pairs("run") == [line for each in found for line in each.counterfactual_lines]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["evaluate.folds=3"], None),
        (
            ["evaluate.folds=null"],
            "9 rows to evaluate on: one of them is 0.11 of the accuracy, so differences settle little; `evaluate: "
            "{folds: 5}` with `seeds: [0, 1, 2, 3, 4]` measures all 47 labelled rows",
        ),
        (["evaluate.folds=null", "arms=[plain]", "k=[34]"], "9 rows to evaluate on: one of them is 0.11 of the "
        "accuracy, so differences settle little; measure on more rows"),
        (["evaluate.folds=null", "evaluate.rows=4"], "4 rows to evaluate on: one of them is 0.25 of the accuracy, so "
        "differences settle little; raise `evaluate.rows`"),
        (["evaluate.folds=null", "dataset=films"], "22 rows to evaluate on: one of them is 0.05 of the accuracy, so "
        "differences settle little; measure on more rows"),
    ],
)  # fmt: skip
def test_few_rows_to_evaluate_on_are_warned_about_with_a_cure_that_works(
    registry: Registry, changes: list[str], said: str | None
) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    loaded, progress = load_recipe(Path("recipe.yaml"), registry, overrides=changes), Progress(quiet=True)
    with opened_run(loaded, registry, RunSettings(out=Path("x")), progress) as context:
        load_experiment(context, loaded.recipe.evaluate.fold_of(0))
    found = [note for note in progress.notes if "differences settle little" in note]
    assert found == ([] if said is None else [said])
    if said is not None and "folds: 5" in said:
        run(registry, "evaluate.folds=5", "seeds=[0,1,2,3,4]")
        assert sum(fold["data"]["evaluation rows"] for fold in record("out")["folds"].values()) == 47


def test_a_teacher_near_chance_is_warned_of_over_all_folds_at_once(registry: Registry) -> None:
    """Of the few rows of one fold nothing could be said."""
    untaught = TAUGHT.replace("steps: 40", "steps: 1").replace("0.05", "0.0000001")
    result = run(registry, untaught, "arms=[plain]")
    warned = [note for note in result.record.notes if "near chance" in note]
    assert len(warned) == 1 and " of 47 evaluation rows correctly, and always answering `negative` 0.511" in warned[0]
    assert "raise `epochs` or `lr` of `teacher.finetune`" in warned[0]
    log = Path("out/run.log").read_text()
    assert log.count("the teacher labels") == 3
    assert log.index("of 16 evaluation rows correctly") < log.index("training 1 students")
    knowing = run(registry, "teacher=opinions", "arms=[plain]")
    assert not [note for note in knowing.record.notes if "near chance" in note], "of another teacher"


def test_a_teacher_near_chance_is_warned_of_before_anything_is_searched(registry: Registry) -> None:
    untaught = TAUGHT.replace("steps: 40", "steps: 1").replace("0.05", "0.0000001")
    run(registry, untaught, "dataset=films", "evaluate.folds=null", "seeds=[0]", "k=[4]")
    log = Path("out/run.log").read_text()
    assert log.index("the teacher is near chance: it labels") < log.index("finding counterfactuals")


def test_a_later_fold_that_is_too_small_is_refused_before_the_first_is_trained(registry: Registry) -> None:
    """25 and 22 rows: of the second class fold 1 leaves 14 to draw from, the others 15."""
    changes = ("dataset.relabelled=1", "teacher=opinions", "arms=[plain]")
    run(registry, *changes, "k=[28]", out="fits")
    with pytest.raises(CodrunError, match=r"k=30 needs 15 originals of each class, .* 14 of the class `positive`"):
        run(registry, *changes, "k=[30]")
    assert not Path("out/cells.jsonl").exists()
    run(registry, *changes, "k=[30]", "evaluate.folds=null", out="whole")
