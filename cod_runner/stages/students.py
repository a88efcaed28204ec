"""Stage 4: one student per cell, trained in this process or in workers, each on disk before it is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from cod_runner.api import BuildContext, ChoosesWorkers, Executor, Workers
from cod_runner.component_results import described, fault_of_workers
from cod_runner.context import RunContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.signals_file import SignalsFile, write_signals
from cod_runner.errors import WrongResult
from cod_runner.machine import cores
from cod_runner.memory import cell_memory
from cod_runner.progress import Progress
from cod_runner.runs.cells import Part, TrainingSetKey
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.records import CellRow
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.cell import CellTask, SharedByCells
from cod_runner.stages.counting import count_in
from cod_runner.stages.kept_students import BestSoFar
from cod_runner.stages.load import Experiment
from cod_runner.stages.trackers import Observed, heard
from cod_runner.stages.worker_output import passed_on
from cod_runner.stages.workers import CellProcess, CellWork


def train_students(
    context: RunContext,
    experiment: Experiment,
    source: TeacherSource,
    part: Part,
    sets: Mapping[TrainingSetKey, TrainingSet],
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
    executor = build_executor(context)
    runner = context.registry.named("executor", chosen.use)
    workers = workers_of(executor, context.device, runner)
    jobs = context.settings.jobs or workers.at_once
    worker = replace(context.worker, device=workers.device)
    signals = _signals(context, experiment, source, tasks)
    shared = SharedByCells(worker, source, evaluation, dev, signals, leaves_rows=not part.again)
    training = {cell.key for cell in part.waiting}
    kept = BestSoFar(context, training)
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
                count_in(context, row, kept)
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


def build_executor(context: RunContext) -> Executor:
    """What runs the cells; raises :class:`SettingError` for what it lacks on this machine, a library, say."""
    chosen, memory = context.recipe.executor, cell_memory(context.recipe, context.registry)
    given = BuildContext(
        say=context.progress.say,  # what befalls workers is not a note on the results
        device=context.device,
        run=context.folder.path.absolute(),
        cell_bytes=None if memory is None else memory.bytes,
    )
    executor: Executor = context.registry.build("executor", chosen.use, chosen.options, given)
    return executor


def _compare(row: CellRow, line: Mapping[str, Any], progress: Progress) -> None:
    """Say where a student that was trained again does not measure what its line says, on another machine, say."""
    other = [name for name, value in row.metrics.items() if line.get(name) != value]
    if other:
        told = ", ".join(f"{name} {row.metrics[name]:.4f} instead of {line.get(name)}" for name in other)
        progress.warn(f"the student {row.name} was trained again and differs from its line in cells.jsonl: {told}")


def workers_of(executor: Executor, device: str, runner: str) -> Workers:
    """As the executor says; else one cell per core, since a student trains on one thread, or one at a time on a GPU.
    Raises :class:`WrongResult`, which names it as ``runner``, where it chooses what there is not."""
    if not isinstance(executor, ChoosesWorkers):
        return Workers(cores() if torch.device(device).type == "cpu" else 1, device)
    workers = executor.workers()
    if (fault := fault_of_workers(workers)) is not None:
        raise WrongResult(f"{runner}: {fault}")
    return workers
