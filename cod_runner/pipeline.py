"""Algorithm 1 of CoD, stage by stage: for the cells that wait, teacher, counterfactuals, signals, students."""

from __future__ import annotations

from cod_runner.context import RunContext
from cod_runner.runs.cells import Part
from cod_runner.runs.records import RunRecord
from cod_runner.stages.additions import Additions, find_additions
from cod_runner.stages.held_out import with_held_out
from cod_runner.stages.load import load_experiment
from cod_runner.stages.originals import Orders
from cod_runner.stages.recording import (
    record_additions,
    record_held_out,
    record_left_out,
    record_teacher,
    write_outcomes,
)
from cod_runner.stages.sets import draw_training_sets
from cod_runner.stages.shortages import find_shortages
from cod_runner.stages.students import train_students
from cod_runner.stages.teacher import ask_about_evaluation, ask_the_teacher, prepare_teacher, with_teacher_price
from cod_runner.stages.timing import stage


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
        sets = with_teacher_price(teacher, sets)
        del teacher, orders, found

        # beside the algorithm: rows of the pool that calibrate each student and compare it with the others
        sets = with_held_out(context, experiment.corpus, sets)
        record_held_out(context, record, sets)

    # 7 to 16: hard + alpha KD + beta LWD, one student per cell
    with stage(context, record, "students"):
        record.failed += train_students(context, experiment, source, part, sets)


def search(context: RunContext, part: Part) -> Additions:
    """Lines 1 to 5 alone, stored or searched anew, and their files; trains no student."""
    with context.progress.stage("data"):
        experiment, teacher = load_experiment(context, part.fold)
    with context.progress.stage("teacher"):
        _, teacher = prepare_teacher(context, experiment, teacher)
    with context.progress.stage("counterfactuals"):
        found = find_additions(context, experiment, Orders(context, experiment, teacher), part.cells)
        write_outcomes(context, found)
    return found
