"""A recipe in, distilled students and a table out: Algorithm 1 of CoD, stage by stage."""

from __future__ import annotations

import time

from cod_runner.context import RunContext, RunSettings, command_of, opened_run
from cod_runner.named_code import refuse_named_code
from cod_runner.permissions import remember_resolved
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import Part, cells_of, parts_of, settings_key
from cod_runner.runs.records import RunRecord
from cod_runner.stages.additions import Additions, find_additions
from cod_runner.stages.changed_code import note_code
from cod_runner.stages.followed import followed
from cod_runner.stages.held_out import with_held_out
from cod_runner.stages.kept_students import expect_gaps, settle_students, students_to_train_again
from cod_runner.stages.load import load_experiment
from cod_runner.stages.originals import Orders
from cod_runner.stages.results import (
    RunResult,
    conclude,
    record_additions,
    record_held_out,
    record_left_out,
    record_teacher,
    spending_recorded,
    write_outcomes,
)
from cod_runner.stages.sets import draw_training_sets
from cod_runner.stages.shortages import find_shortages
from cod_runner.stages.students import build_executor, take_in, train_students, without
from cod_runner.stages.teacher import ask_about_evaluation, ask_the_teacher, prepare_teacher, priced
from cod_runner.stages.timing import NAMES, stage
from cod_runner.stages.trackers import start_trackers


def distil(context: RunContext, record: RunRecord, part: Part) -> None:
    """Algorithm 1 for the cells that wait; the numbers are the poster's lines.

    Additions are found for all cells, so that ``counterfactuals.jsonl`` is whole; those of finished cells are stored.
    """
    if part.fold is not None:
        seeds = ", ".join(map(str, dict.fromkeys(cell.seed for cell in part.waiting)))
        context.progress.say(f"fold {part.fold} is evaluated on, and all else is made of the others (seeds: {seeds})")

    # Require: the teacher g_t, the student g_s, the data, CFGen, the losses and their weights
    with stage(context, record, "data"):
        experiment, teacher = load_experiment(context, part.fold)
    with stage(context, record, "teacher"):
        source, teacher = prepare_teacher(context, experiment, teacher)
        ask_about_evaluation(context, experiment, source, teacher)  # rows that nothing trains on: how good it is
        record_teacher(context, record, experiment, teacher)
        context.observers.notify("codrun_teacher_ready", teacher=teacher, pool=experiment.corpus.pool)

    with stage(context, record, "counterfactuals"):
        # 1: D_k, the few-shot originals, in the order in which each arm draws them
        orders = Orders(context, experiment, teacher)

        # 2 to 5: D_cf, their counterfactuals, or whatever else an arm adds
        found = find_additions(context, experiment, orders, part.cells)
        record_additions(context, record, found)

        # 6: D_train, in the arm `cod` k/2 originals and their k/2 counterfactuals; what cannot be drawn is left out
        shortages = find_shortages(context, experiment, found, part.waiting)
        record_left_out(context, record, part, shortages)
        part = part.without(lambda cell: any(one.is_of(cell) for one in shortages))
        sets = draw_training_sets(context, experiment, found, part.waiting)

    with stage(context, record, "signals"):
        # g_t(x) of lines 10 and 11: the teacher speaks once about each example, and makes room for the students
        ask_the_teacher(context, experiment, source, teacher, sets.values())
        sets = priced(teacher, sets)
        del teacher, orders, found

        # beside the algorithm: rows of the pool that calibrate each student and compare it with the others
        sets = with_held_out(context, experiment.corpus, sets)
        record_held_out(context, record, sets)

    # 7 to 16: hard + alpha KD + beta LWD, one student per cell
    with stage(context, record, "students"):
        record.failed += train_students(context, experiment, source, part, sets)


def run(loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """Run every cell of a recipe that is not done yet, and report on all of them."""
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    started = time.monotonic()
    with opened_run(loaded, registry, settings, progress) as context:
        record = context.folder.begin(loaded, registry, [cell.key for cell in cells], settings_key(recipe, registry))
        remember_resolved(context.folder.recipe, context.store.root)
        record.command = command_of(loaded, settings)
        finished = {} if settings.fresh else context.folder.finished_rows(record.metric_names)
        waiting = [cell for cell in cells if cell.key not in finished]
        left = context.folder.rows_left.found([] if settings.fresh else waiting, record.metric_names)
        waiting = without(waiting, left)
        progress.say(f"{recipe.name}: {len(cells)} cells, {len(cells) - len(waiting)} done, {len(waiting)} to run")
        note_code(context, record, finished=len(waiting) < len(cells))
        expect_gaps(context, record, cells)
        gone = students_to_train_again(context, record, cells)
        with followed(context, cells=len(cells), done=len(cells) - len(waiting) - len(left)):
            if waiting or gone or left:
                refuse_named_code(loaded, registry, settings.permissions)
                build_executor(context)  # what it lacks is said before anything is spent
                start_trackers(context, len(waiting))
                take_in(context, left, waiting)
                with spending_recorded(context, record):
                    for part in parts_of(recipe, cells, waiting):
                        distil(context, record, part)
                    gone = students_to_train_again(context, record, cells)
                    for part in parts_of(recipe, cells, gone, again=True):
                        distil(context, record, part)
            context.folder.rows_left.end()
            settle_students(context, record, cells)
            return conclude(context, record, time.monotonic() - started, bool(waiting or gone or left))


def find_counterfactuals(
    loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress
) -> list[Additions]:
    """``codrun cfes``: lines 1 to 5 alone, stored or searched anew, for each fold; trains no student."""
    cells = [cell for cell in cells_of(loaded.recipe, registry) if loaded.recipe.arms[cell.arm].uses_section]
    all_found = []
    with opened_run(loaded, registry, settings, progress) as context, progress.run(NAMES[:3], context.told_spending):
        for part in parts_of(loaded.recipe, cells, cells):
            with progress.stage("data"):
                experiment, teacher = load_experiment(context, part.fold)
            with progress.stage("teacher"):
                _, teacher = prepare_teacher(context, experiment, teacher)
            with progress.stage("counterfactuals"):
                found = find_additions(context, experiment, Orders(context, experiment, teacher), part.cells)
                write_outcomes(context, found)
            all_found.append(found)
    return all_found
