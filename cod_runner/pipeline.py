"""A recipe in, distilled students and a table out: Algorithm 1 of CoD, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cod_runner.context import RunContext, RunSettings, opened_run
from cod_runner.data.fewshot import originals_by_seed
from cod_runner.permissions import remember_resolved
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.records import RunRecord
from cod_runner.stages.load import load_experiment
from cod_runner.stages.pairs import FoundPairs, draw_training_sets, find_pairs
from cod_runner.stages.results import RunResult, conclude, record_pairs, record_teacher, spending_recorded
from cod_runner.stages.students import train_students
from cod_runner.stages.teacher import ask_the_teacher, train_teacher
from cod_runner.stages.trackers import attach_trackers


def distil(context: RunContext, record: RunRecord, cells: Sequence[Cell], waiting: Sequence[Cell]) -> None:
    """Algorithm 1 for the cells that wait; the numbers are the poster's lines.

    Pairs are found for all cells, so that ``counterfactuals.jsonl`` is whole; those of finished cells are stored.
    """
    # Require: the teacher g_t, the student g_s, the data, CFGen, the losses and their weights
    experiment, teacher = load_experiment(context)
    source = train_teacher(context, experiment.corpus, teacher)
    context.registry.hook.codrun_teacher_ready(teacher=teacher, pool=experiment.corpus.pool)

    # 1 to 5: D_k, the few-shot originals, and D_cf, their counterfactuals
    originals = originals_by_seed(experiment.corpus, context.recipe.seeds)
    with spending_recorded(context, record):
        found = find_pairs(context, experiment, teacher, cells, originals)
    record_pairs(context, record, found)

    # 6: D_train, k originals or k/2 and their k/2 counterfactuals
    sets = draw_training_sets(context, waiting, originals, found)

    # g_t(x) of lines 10 and 11: the teacher speaks once about each example, and makes room for the students
    ask_the_teacher(context, experiment, teacher, sets.values())
    record_teacher(context, record, experiment, teacher)
    del teacher

    # 7 to 16: hard + alpha KD + beta LWD, one student per cell
    train_students(context, experiment, source, waiting, sets)


def run(loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """Run every cell of a recipe that is not done yet, and report on all of them."""
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    started = time.monotonic()
    with opened_run(loaded, registry, settings, progress) as context:
        record = context.folder.begin(loaded, registry, [cell.key for cell in cells])
        remember_resolved(context.folder.recipe, context.store.root)
        finished = {} if settings.fresh else context.folder.finished_rows()
        waiting = [cell for cell in cells if cell.key not in finished]
        progress.say(f"{recipe.name}: {len(cells)} cells, {len(cells) - len(waiting)} done, {len(waiting)} to run")
        if waiting:
            attach_trackers(recipe, registry)
            plain_recipe = recipe.model_dump(mode="json")
            registry.hook.codrun_run_started(recipe=plain_recipe, cells=len(waiting), folder=context.folder.path)
            distil(context, record, cells, waiting)
        return conclude(context, record, time.monotonic() - started, bool(waiting))


def find_counterfactuals(
    loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress
) -> FoundPairs:
    """``codrun cfes``: lines 1 to 5 alone, stored or searched anew; trains no student."""
    cells = [cell for cell in cells_of(loaded.recipe, registry) if cell.arm == "cod"]
    with opened_run(loaded, registry, settings, progress) as context:
        experiment, teacher = load_experiment(context)
        train_teacher(context, experiment.corpus, teacher)
        originals = originals_by_seed(experiment.corpus, loaded.recipe.seeds)
        found = find_pairs(context, experiment, teacher, cells, originals)["cod"]
        context.folder.write_lines(context.folder.counterfactuals, found.lines)
        return found
