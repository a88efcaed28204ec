"""Stage 4: one student per cell, trained in this process or in workers, each on disk before it is counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from cod_runner.api import BuildContext, ChoosesWorkers, Executor, Workers
from cod_runner.component_results import described
from cod_runner.context import RunContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.signals_file import SignalsFile, write_signals
from cod_runner.errors import WrongResult
from cod_runner.machine import cores
from cod_runner.progress import Progress
from cod_runner.runs.cells import Cell, Part
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.records import CellRow
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.cell import CellTask, SharedByCells
from cod_runner.stages.kept_students import remove_what_cannot_be_chosen
from cod_runner.stages.load import Experiment
from cod_runner.stages.teacher import SetKey
from cod_runner.stages.trackers import Observed, heard
from cod_runner.stages.worker_output import passed_on
from cod_runner.stages.workers import CellProcess, CellWork


def train_students(
    context: RunContext,
    experiment: Experiment,
    source: TeacherSource,
    part: Part,
    sets: Mapping[SetKey, TrainingSet],
) -> list[FailedCell]:
    """Train the cells that wait; each is on disk before the next is counted, so a kill loses at most what was in
    flight. Where only their students were gone, their lines stay as they are. Returns the cells that failed, which
    are not on disk."""
    failed: list[FailedCell] = []
    if not part.waiting:
        return failed
    evaluation, dev = experiment.corpus.evaluation, experiment.dev
    tasks = [CellTask(cell, sets[cell.training_set]) for cell in part.waiting]
    observers, progress, chosen = context.observers, context.progress, context.recipe.executor
    names = [metric.use for metric in context.recipe.evaluate.metrics]
    lines = context.folder.finished_rows(names) if part.again else {}
    for task in () if part.again else tasks:
        observers.notify("codrun_cell_started", cell=vars(task.cell), training=task.training.rows)
    use = context.settings.executor or chosen.use
    options = chosen.options if use == chosen.use else {}  # of another executor than the recipe's: its defaults
    executor: Executor = context.registry.build(
        "executor",
        use,
        options,
        BuildContext(say=progress.warn, device=context.device, run=context.folder.path.absolute()),
    )
    runner = context.registry.named("executor", use)
    workers = workers_of(executor, context.device)
    jobs = context.settings.jobs or workers.at_once
    worker = replace(context.worker, device=workers.device)
    signals = _signals(context, experiment, source, tasks)
    shared = SharedByCells(worker, source, evaluation, dev, signals, leaves_rows=not part.again)
    training = {cell.key for cell in part.waiting}
    at_once = min(jobs, len(tasks))
    with (
        passed_on(context.folder.path, progress) as pass_on,
        progress.bar(f"training {len(tasks)} students, {at_once} at once", at_once) as step,
    ):
        step(0, len(tasks))
        work = CellWork(shared, CellProcess(context.registry, observers))
        for done, given in enumerate(executor.map(work, tasks, jobs), start=1):
            if not isinstance(given, Observed):
                raise WrongResult(f"{runner}: `map` gave {described(given)}, and must give what its `work` returns")
            pass_on()
            row = heard(observers, given)
            if row.key not in training:
                raise WrongResult(f"{runner}: `map` gave the result of {row.name} twice, and must give each once")
            training.remove(row.key)
            if isinstance(row, FailedCell):
                progress.say(row.sentence)
                failed.append(row)
            elif part.again:
                _compare(row, lines[row.key], progress)
            else:
                count_in(context, row, training)
            step(done, len(tasks))
    if training:
        raise WrongResult(f"{runner}: `map` gave {len(tasks) - len(training)} results for {len(tasks)} tasks")
    return failed


def _signals(
    context: RunContext, experiment: Experiment, source: TeacherSource, tasks: Sequence[CellTask]
) -> SignalsFile:
    """What the teacher said of all that these cells read, in one file of the run's folder for every worker."""
    rows = [*experiment.corpus.evaluation, *experiment.dev, *(row for task in tasks for row in task.training.rows)]
    stored = SignalStore(context.store.signals).reader(source.fingerprint, context.device)
    return write_signals(stored, (row.input for row in rows), context.folder.signals)


def count_in(context: RunContext, row: CellRow, waiting: Collection[str]) -> None:
    """Let a finished cell be one of the run's: its row in ``cells.jsonl``, observers told, and students removed that
    cannot be chosen any more. ``waiting`` are the keys of the cells that are still to come."""
    context.folder.append_row(row)
    context.folder.rows_left.forget(row.key)
    context.observers.notify("codrun_cell_finished", row=row.to_json())
    remove_what_cannot_be_chosen(context, waiting)


def without(cells: Sequence[Cell], rows: Sequence[CellRow]) -> list[Cell]:
    """The cells of which there is no row."""
    keys = {row.key for row in rows}
    return [cell for cell in cells if cell.key not in keys]


def take_in(context: RunContext, rows: Sequence[CellRow], waiting: Sequence[Cell]) -> None:
    """Count in the cells that workers of an earlier call finished when it could not hear of them any more. Trackers
    must be there; ``waiting`` are the cells that are still to come."""
    for number, row in enumerate(rows, start=1):
        count_in(context, row, {cell.key for cell in waiting} | {other.key for other in rows[number:]})
    if rows:
        cells = "1 cell was" if len(rows) == 1 else f"{len(rows)} cells were"
        context.progress.say(f"{cells} finished by workers that had outlived an earlier call; they count")


def _compare(row: CellRow, line: Mapping[str, Any], progress: Progress) -> None:
    """Say where a student that was trained again does not measure what its line says, on another machine, say."""
    other = [name for name, value in row.metrics.items() if line.get(name) != value]
    if other:
        told = ", ".join(f"{name} {row.metrics[name]:.4f} instead of {line.get(name)}" for name in other)
        progress.warn(f"the student {row.name} was trained again and differs from its line in cells.jsonl: {told}")


def workers_of(executor: Executor, device: str) -> Workers:
    """As the executor says; else one cell per core, since a student trains on one thread, or one at a time on a GPU."""
    if isinstance(executor, ChoosesWorkers):
        return executor.workers()
    return Workers(cores() if torch.device(device).type == "cpu" else 1, device)
