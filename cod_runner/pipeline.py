"""A recipe in, distilled students and a table out: Algorithm 1 of CoD, step by step.

    D_k        few-shot originals, one order per class and seed             originals_by_seed
    CFGen      counterfactuals that flip the teacher, verified, kept        find_pairs
    D_train    k originals (plain), or k/2 and their k/2 CFEs (cod)          training_sets
    g_t        the teacher speaks once about each example                    ask_the_teacher
    g_s        hard + alpha KD + beta LWD, one student a cell                train_students
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cod_runner.api import BuildContext, Classifier, Example, Executor, Spending
from cod_runner.cells import Cell, cells_of, counterfactual_identity
from cod_runner.counterfactuals import PairLedger, PairSearch, find_pairs, quality_table
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.errors import ExpectationMissed
from cod_runner.expectations import ExpectationResult, check_expectations
from cod_runner.experiment import Experiment, load_experiment
from cod_runner.fewshot import originals_by_seed, training_sets
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report import write_reports
from cod_runner.run_folder import RunFolder
from cod_runner.settings import RunSettings, run_path
from cod_runner.store import Store
from cod_runner.student import CellTask, train_cell_in_worker
from cod_runner.teacher import TeacherSource, finetuned


def run(loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """Run every cell of a recipe that is not done yet, and report on all of them."""
    recipe, store = loaded.recipe, Store()
    cells = cells_of(recipe, registry)
    with RunFolder(run_path(loaded, settings.out)).opened() as folder:
        record = folder.begin(loaded, cells, settings)
        finished = {} if settings.fresh else folder.finished_rows()
        waiting = [cell for cell in cells if cell.key not in finished]
        if waiting:
            registry.hook.codrun_run_started(recipe=recipe.model_dump(mode="json"), cells=len(waiting))
            distil(recipe, waiting, folder, registry, store, settings, record, progress)
        return conclude(loaded, cells, folder, registry, record, progress)


def distil(
    recipe: Recipe,
    cells: Sequence[Cell],
    folder: RunFolder,
    registry: Registry,
    store: Store,
    settings: RunSettings,
    record: RunRecord,
    progress: Progress,
) -> None:
    """Algorithm 1 for all cells at once."""
    spending = Spending(...)
    experiment = load_experiment(recipe, registry, store, settings, spending, progress)
    source, teacher = finetuned(
        experiment.source, experiment.teacher, experiment.corpus.pool, registry, store, progress
    )
    originals = originals_by_seed(experiment.corpus, recipe.seeds)
    pairs = counterfactuals_of(originals, ...)
    sets = training_sets(cells, originals, pairs)
    ask_the_teacher(teacher, sets, experiment, store, progress)
    fingerprint = teacher.fingerprint
    del teacher
    train_students(...)
