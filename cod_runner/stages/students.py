"""Stage 4: one student per cell is trained, measured and saved, in this process or in workers. Lines 7 to 16."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from cod_runner.api import BuildContext, Classifier, Example, Executor, Predictions, TrainSettings, input_as_json
from cod_runner.context import RunContext, WorkerContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.asking import network
from cod_runner.engine.device import resolve_precision
from cod_runner.engine.inference import predict
from cod_runner.engine.signals import SignalStore, TeacherSignals
from cod_runner.engine.steps import steps_at
from cod_runner.engine.training import train_student
from cod_runner.files import folder_written_whole
from cod_runner.machine import cores
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.runs.records import CellRow
from cod_runner.stages.build import TeacherSource, build_metric, build_student, build_teacher, build_term
from cod_runner.stages.load import Experiment
from cod_runner.stages.trackers import attach_trackers
from cod_runner.store import content_key


@dataclass(frozen=True)
class CellTask:
    """One cell with everything a worker needs; can be pickled."""

    cell: Cell
    worker: WorkerContext
    teacher: TeacherSource
    training: TrainingSet
    evaluation: tuple[Example, ...]
    dev: tuple[Example, ...]
    """Rows that choose the epoch; none unless the recipe asks for it."""


def train_students(
    context: RunContext,
    experiment: Experiment,
    source: TeacherSource,
    cells: Sequence[Cell],
    sets: Mapping[tuple[str, int, int], TrainingSet],
) -> None:
    """Train the cells; each is on disk before the next is counted, so a kill loses at most what was in flight."""
    if not cells:
        return
    evaluation, dev = experiment.corpus.evaluation, experiment.dev
    tasks = [CellTask(cell, context.worker, source, sets[cell.training_set], evaluation, dev) for cell in cells]
    hook, progress, chosen = context.registry.hook, context.progress, context.recipe.executor
    for task in tasks:
        hook.codrun_cell_started(cell=vars(task.cell), training=task.training.rows)
    executor: Executor = context.registry.build(
        "executor", context.settings.executor or chosen.use, chosen.options, BuildContext(say=progress.warn)
    )
    jobs = context.settings.jobs or default_jobs(context.device)
    with progress.bar(f"training {len(tasks)} students, {min(jobs, len(tasks))} at once") as step:
        step(0, len(tasks))
        for done, row in enumerate(executor.map(CellWork(context.registry), tasks, jobs), start=1):
            context.folder.append_row(row)
            hook.codrun_cell_finished(row=row.to_json())
            step(done, len(tasks))


def default_jobs(device: str) -> int:
    """One cell per core, since a student trains on one thread; one at a time on a GPU."""
    return cores() if torch.device(device).type == "cpu" else 1


class CellWork:
    """Trains cells with a run's own registry, so that its trackers see every step. A copy that is unpickled in
    another process works with that process's registry, and with trackers of its own."""

    def __init__(self, registry: Registry, *, observed: bool = True) -> None:
        self._registry = registry
        self._observed = observed
        """Whether the recipe's trackers are attached."""

    def __call__(self, task: CellTask) -> CellRow:
        if not self._observed:
            attach_trackers(task.worker.recipe, self._registry)
            self._observed = True
        return train_cell(task, self._registry)

    def __reduce__(self) -> tuple[Callable[[], CellWork], tuple[()]]:
        return _work_of_this_process, ()


@functools.cache
def _work_of_this_process() -> CellWork:
    """One for all cells that a worker trains: plugins are discovered, and trackers built, once."""
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    return CellWork(Registry.discover(), observed=False)


def train_cell(task: CellTask, registry: Registry) -> CellRow:
    """Build, train, measure and save one student; returns its line of ``cells.jsonl``.

    Its result depends on the task alone, bit for bit on one CPU, so students always train on one thread.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    cell, worker, labels = task.cell, task.worker, task.teacher.labels
    recipe, device = worker.recipe, worker.device
    signals = SignalStore(worker.store.signals).reader(task.teacher.fingerprint, device)
    student = build_student(
        worker, registry, labels, cell.seed, lambda: network(build_teacher(worker, registry, task.teacher))
    )
    terms = [build_term(worker, registry, labels, term, cell.seed) for term in recipe.methods[cell.method]]
    precision = resolve_precision(recipe.train.precision, device)

    def predicted(examples: Sequence[Example]) -> Predictions:
        return _predictions(student, examples, signals, device, precision)

    def accuracy_on(examples: Sequence[Example]) -> float:
        predictions = predicted(examples)
        return float((predictions.student_logits.argmax(1) == predictions.labels).float().mean())

    watched = {"best_dev": task.dev, "best_reported": task.evaluation}.get(recipe.evaluate.select)
    trained_from = time.monotonic()
    result = train_student(
        student,
        task.training.rows,
        terms,
        signals,
        steps_for_any_arm(recipe.train, cell.k),
        seed=cell.seed,
        device=device,
        cache_folder=worker.store.folder("losses") / fitted_key(task),
        on_step=lambda step, losses: registry.hook.codrun_step(
            cell={"method": cell.method, "arm": cell.arm, "k": cell.k, "seed": cell.seed}, step=step, losses=losses
        ),
        evaluate_epoch=None if watched is None else lambda: accuracy_on(watched),
    )
    trained = time.monotonic()
    predictions = predicted(task.evaluation)
    metrics = {use.use: float(build_metric(registry, use)(predictions)) for use in recipe.evaluate.metrics}
    with folder_written_whole(worker.students / cell.name) as folder:
        student.save(folder)
    return CellRow(
        key=cell.key,
        method=cell.method,
        arm=cell.arm,
        k=cell.k,
        seed=cell.seed,
        metrics=metrics,
        steps=result.steps,
        training_rows=len(task.training.rows),
        labelled=task.training.labelled,
        added=task.training.added,
        unlabelled=task.training.unlabelled,
        teacher_queries=task.training.cost.teacher_queries,
        embedded=task.training.cost.embedded,
        generator_calls=task.training.cost.generator_calls,
        usd=task.training.cost.usd,
        teacher_usd=task.training.cost.teacher_usd,
        redrawn=task.training.redrawn,
        yield_=round(task.training.group_yield, 4),
        teacher_disagrees_with_gold=task.training.teacher_disagrees,
        losses=result.losses,
        select=recipe.evaluate.select,
        precision=precision,
        device=torch.device(device).type,
        train_seconds=round(trained - trained_from, 3),
        seconds=round(time.monotonic() - started, 3),
    )


def steps_for_any_arm(settings: TrainSettings, k: int) -> TrainSettings:
    """The settings with epochs turned into steps of ``k`` examples, so that arms take equally many, also where one is
    short of pairs."""
    return settings.model_copy(update={"epochs": None, "steps": steps_at(settings, k)})


def _predictions(
    student: Classifier, examples: Sequence[Example], signals: TeacherSignals, device: str, precision: str
) -> Predictions:
    inputs = [example.input for example in examples]
    return Predictions(
        student_logits=predict(student, inputs, device=device, precision=precision).cpu(),
        teacher_logits=signals.logits(inputs).cpu(),
        labels=torch.tensor([example.hard_label for example in examples]),
    )


def fitted_key(task: CellTask) -> str:
    """Names what the losses of a cell fit before training: the cell, and what its recipe does not pin down, the
    teacher's weights and the texts, which differ where a hub's branch has moved or a model was asked anew."""
    return content_key(
        {
            "cell": task.cell.key,
            "teacher": task.teacher.fingerprint,
            "training": [[row.id, input_as_json(row.input), row.label] for row in task.training.rows],
            "device": torch.device(task.worker.device).type,
            "precision": resolve_precision(task.worker.recipe.train.precision, task.worker.device),
        }
    )
