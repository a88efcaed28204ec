"""Stage 4: one student per cell, trained in this process or in workers, each on disk before it is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from cod_runner.api import BuildContext, ChoosesWorkers, EndsEarlierCalls, Executor, Input, Workers
from cod_runner.component_results import described, fault_of_workers
from cod_runner.context import RunContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.signals_file import SignalsFile, write_signals
from cod_runner.errors import WrongResult
from cod_runner.machine import cores
from cod_runner.memory import cell_memory, longest_input
from cod_runner.progress import Progress
from cod_runner.runs.cells import Part, TrainingSetKey
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.records import CellRow
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.cell import CellTask, SharedByCells
from cod_runner.stages.finished_cells import record_finished
from cod_runner.stages.kept_students import BestSoFar
from cod_runner.stages.load import Experiment
from cod_runner.stages.trackers import WorkerResult, take_result
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
    observers, progress = context.observers, context.progress
    tasks = [CellTask(cell, sets[cell.training_set]) for cell in part.waiting]
    lines = context.folder.finished_rows([use.use for use in context.recipe.evaluate.metrics]) if part.again else {}
    for task in () if part.again else tasks:
        observers.notify("codrun_cell_started", cell=vars(task.cell), training=task.training.rows)
    signals = _signals(context, experiment, source, tasks)
    executor = build_executor(context, _longest_input(context, experiment, tasks, signals))
    workers = workers_of(executor, context.device, _named(context))
    jobs = context.settings.jobs or workers.at_once
    shared = SharedByCells(
        replace(context.worker, device=workers.device),
        source,
        experiment.corpus.evaluation,
        experiment.dev,
        signals,
        leaves_rows=not part.again,
    )
    kept = BestSoFar(context, {cell.key for cell in part.waiting})
    at_once = min(jobs, len(tasks))
    with (
        passed_on(context.folder.path, progress) as pass_on,
        progress.bar(f"training {len(tasks)} students, {at_once} at once", at_once) as step,
    ):
        step(0, len(tasks))
        work = CellWork(shared, CellProcess(context.registry, observers))
        for done, row in enumerate(_each_once(context, executor.map(work, tasks, jobs), tasks), start=1):
            pass_on()
            if isinstance(row, FailedCell):
                progress.say(row.sentence)
                failed.append(row)
            elif part.again:
                _compare(row, lines[row.key], progress)
            else:
                record_finished(context, row, kept)
            step(done, len(tasks))
    return failed


def _each_once(
    context: RunContext, results: Iterable[object], tasks: Sequence[CellTask]
) -> Iterator[CellRow | FailedCell]:
    """What came of each task, as the executor gives it; raises :class:`WrongResult` where it gives anything else, or
    one of them twice or never."""
    runner = _named(context)
    missing = {task.cell.key for task in tasks}
    for given in results:
        if not isinstance(given, WorkerResult):
            raise WrongResult(f"{runner}: `map` gave {described(given)}, and must give what its `work` returns")
        row: CellRow | FailedCell = take_result(context.observers, given)
        if row.key not in missing:
            raise WrongResult(f"{runner}: `map` gave the result of {row.name} twice, and must give each once")
        missing.remove(row.key)
        yield row
    if missing:
        raise WrongResult(f"{runner}: `map` gave {len(tasks) - len(missing)} results for {len(tasks)} tasks")


def _named(context: RunContext) -> str:
    """The executor in a sentence."""
    return context.registry.named("executor", context.recipe.executor.use)


def _signals(
    context: RunContext, experiment: Experiment, source: TeacherSource, tasks: Sequence[CellTask]
) -> SignalsFile:
    """What the teacher said of all that these cells read, in one file of the run's folder for every worker."""
    stored = SignalStore(context.store.signals).reader(source.fingerprint, context.device)
    return write_signals(stored, _inputs(experiment, tasks), context.folder.signals)


def _longest_input(
    context: RunContext, experiment: Experiment, tasks: Sequence[CellTask], signals: SignalsFile
) -> int | None:
    """Of all that these cells read, in the student's positions; None where that is not known."""
    read_by_teacher = signals.opened().longest
    return longest_input(context.recipe, context.registry, _inputs(experiment, tasks), read_by_teacher)


def _inputs(experiment: Experiment, tasks: Sequence[CellTask]) -> list[Input]:
    rows = [*experiment.corpus.evaluation, *experiment.dev, *(row for task in tasks for row in task.training.rows)]
    return [row.input for row in rows]


def ready_executor(context: RunContext) -> None:
    """Before anything is spent: say what the executor lacks, and let it end what a run that was killed had begun."""
    executor = build_executor(context)
    if isinstance(executor, EndsEarlierCalls):
        executor.end_earlier_calls()


def build_executor(context: RunContext, longest: int | None = None) -> Executor:
    """What runs the cells; raises :class:`SettingError` for what it lacks on this machine, a library, say.

    It is told what memory a cell takes: with inputs of at most ``longest`` positions, or as many as the student reads.
    """
    chosen, memory = context.recipe.executor, cell_memory(context.recipe, context.registry, longest)
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
