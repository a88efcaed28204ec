"""Stage 4: one student per cell is trained, measured and saved, in this process or in workers. Lines 7 to 16."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import (
    BuildContext,
    Classifier,
    Example,
    Executor,
    Predictions,
    TrainSettings,
    TrainsItself,
    expected_calibration_error,
    input_as_json,
)
from cod_runner.blame import NOT_A_PLUGINS
from cod_runner.component_results import check_metric, described
from cod_runner.context import RunContext, WorkerContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.asking import network
from cod_runner.engine.device import resolve_precision
from cod_runner.engine.held_out import HeldOutScore, held_out_score
from cod_runner.engine.inference import predict
from cod_runner.engine.own_training import let_train
from cod_runner.engine.signals import SignalStore, TeacherSignals
from cod_runner.engine.steps import steps_at
from cod_runner.engine.training import train_student
from cod_runner.errors import CodrunError, WrongResult
from cod_runner.files import folder_written_whole
from cod_runner.local_plugins import LocalFile
from cod_runner.machine import cores
from cod_runner.observers import Observers
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell, Part
from cod_runner.runs.failed import FailedCell, cause_of
from cod_runner.runs.records import CellRow
from cod_runner.runs.student_record import HeldOut, SavedComponent, StudentRecord, write_student_record
from cod_runner.stages.build import TeacherSource, build_metric, build_student, build_teacher, build_term
from cod_runner.stages.kept_students import remove_what_cannot_be_chosen
from cod_runner.stages.load import Experiment
from cod_runner.stages.teacher import SetKey
from cod_runner.stages.trackers import Observed, build_trackers, heard
from cod_runner.stages.worker_output import passed_on, write_to_the_file
from cod_runner.store import content_key

TWO_THREADS = (
    "the executor calls `work` in two threads of a process at once, and students would draw each other's random "
    "numbers: it must call it in one thread at a time, or in several processes; or run with --jobs 1"
)


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
    tasks = [CellTask(cell, context.worker, source, sets[cell.training_set], evaluation, dev) for cell in part.waiting]
    observers, progress, chosen = context.observers, context.progress, context.recipe.executor
    names = [metric.use for metric in context.recipe.evaluate.metrics]
    lines = context.folder.finished_rows(names) if part.again else {}
    for task in () if part.again else tasks:
        observers.notify("codrun_cell_started", cell=vars(task.cell), training=task.training.rows)
    use = context.settings.executor or chosen.use
    executor: Executor = context.registry.build("executor", use, chosen.options, BuildContext(say=progress.warn))
    runner = context.registry.named("executor", use)
    jobs = context.settings.jobs or default_jobs(context.device)
    training = {cell.key for cell in part.waiting}
    at_once = min(jobs, len(tasks))
    with (
        passed_on(context.folder.path, progress) as pass_on,
        progress.bar(f"training {len(tasks)} students, {at_once} at once", at_once) as step,
    ):
        step(0, len(tasks))
        work = CellWork(context.registry, observers)
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
                context.folder.append_row(row)
                observers.notify("codrun_cell_finished", row=row.to_json())
                remove_what_cannot_be_chosen(context, training)
            step(done, len(tasks))
    if training:
        raise WrongResult(f"{runner}: `map` gave {len(tasks) - len(training)} results for {len(tasks)} tasks")
    return failed


def _compare(row: CellRow, line: Mapping[str, Any], progress: Progress) -> None:
    """Say where a student that was trained again does not measure what its line says, on another machine, say."""
    other = [name for name, value in row.metrics.items() if line.get(name) != value]
    if other:
        told = ", ".join(f"{name} {row.metrics[name]:.4f} instead of {line.get(name)}" for name in other)
        progress.warn(f"the student {row.name} was trained again and differs from its line in cells.jsonl: {told}")


def default_jobs(device: str) -> int:
    """One cell per core, since a student trains on one thread; one at a time on a GPU."""
    return cores() if torch.device(device).type == "cpu" else 1


class CellWork:
    """Trains cells with a run's own registry, so that its trackers see every step. A copy that is unpickled in
    another process works with that process's registry, and with trackers of its own."""

    def __init__(self, registry: Registry, observers: Observers | None = None) -> None:
        self._registry = registry
        self._observers = observers
        self._run: Path | None = None
        """The run whose trackers this process built; None where they are the run's own."""
        self._at_work = threading.Lock()

    def __call__(self, task: CellTask) -> Observed[CellRow | FailedCell]:
        """Train one cell; raises :class:`WrongResult` while another thread of this process trains one, since all
        threads draw from the same random generators."""
        if not self._at_work.acquire(blocking=False):
            raise WrongResult(TWO_THREADS)
        try:
            return self._trained(task)
        finally:
            self._at_work.release()

    def _trained(self, task: CellTask) -> Observed[CellRow | FailedCell]:
        run = task.worker.students.parent
        if self._observers is None or self._run not in (None, run):
            self._run, self._observers = run, Observers(self._registry, lambda sentence: None)
            write_to_the_file(run)
            build_trackers(self._observers, task.worker.recipe, run, lambda sentence: None)
        try:
            with self._registry.blaming_plugins():
                row = train_cell(task, self._registry, self._observers)
        except CodrunError:
            raise
        except Exception as error:
            error.add_note(NOT_A_PLUGINS)  # not the executor's either, through whose code it goes up
            raise
        return Observed(row, tuple(self._observers.failures.values()) if self._run is not None else ())

    def __reduce__(self) -> tuple[Callable[..., CellWork], tuple[tuple[LocalFile, ...]]]:
        return _work_of_this_process, (self._registry.local_files,)


@functools.cache
def _work_of_this_process(local_files: tuple[LocalFile, ...]) -> CellWork:
    """One for all cells that a worker trains: plugins are discovered, and trackers built, once. Of plugins that are
    files it loads what the run loaded, or raises :class:`CodrunError`."""
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    registry = Registry.discover()
    for file in local_files:
        registry.register_file(file.path, file.digest)
    return CellWork(registry)


def train_cell(task: CellTask, registry: Registry, observers: Observers) -> CellRow | FailedCell:
    """Build, train, measure and save one student; returns its line of ``cells.jsonl``. One whose metrics or logits are
    infinite or NaN is not saved.

    Its result depends on the task alone, bit for bit on one CPU, so students always train on one thread.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    cell, worker, labels = task.cell, task.worker, task.teacher.labels
    recipe, device = worker.recipe, worker.device
    signals = SignalStore(worker.store.signals).reader(task.teacher.fingerprint, device)
    given = BuildContext(
        labels=labels, seed=cell.seed, teacher=lambda: network(build_teacher(worker, registry, task.teacher))
    )
    student = build_student(worker, registry, given)
    terms = [build_term(worker, registry, labels, term, cell.seed) for term in recipe.methods[cell.method]]
    precision = resolve_precision(recipe.train.precision, device)

    def predicted(examples: Sequence[Example]) -> Predictions:
        return _predictions(student, examples, signals, device, precision)

    def accuracy_on(examples: Sequence[Example]) -> float:
        predictions = predicted(examples)
        return float((predictions.student_logits.argmax(1) == predictions.labels).float().mean())

    watched = {"best_dev": task.dev, "best_reported": task.evaluation}.get(recipe.evaluate.select)
    trained_from = time.monotonic()
    if isinstance(student, TrainsItself):
        result = let_train(student, task.training.rows, seed=cell.seed, device=device)
    else:
        result = train_student(
            student,
            task.training.rows,
            terms,
            signals,
            steps_for_any_arm(recipe.train, cell.k),
            seed=cell.seed,
            device=device,
            cache_folder=worker.store.folder("losses") / fitted_key(task),
            on_step=lambda step, losses: observers.notify("codrun_step", cell=vars(cell), step=step, losses=losses),
            evaluate_epoch=None if watched is None else lambda: accuracy_on(watched),
        )
    trained = time.monotonic()
    predictions = predicted(task.evaluation)
    metrics = {
        use.use: check_metric(
            registry.named("metric", use.use), build_metric(recipe, registry, labels, use)(predictions)
        )
        for use in recipe.evaluate.metrics
    }
    cause = cause_of(metrics, bool(torch.isfinite(predictions.student_logits).all()))
    if cause is not None:
        return FailedCell(**vars(cell), name=cell.name, cause=cause)
    said = _logits(student, task.training.held_out, device, precision)
    score = held_out_score(said, _gold(task.training.held_out))
    if recipe.students != "none":
        with folder_written_whole(worker.students / cell.name) as folder:
            student.save(folder)
            write_student_record(folder, _record(task, metrics, said, score))
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
        **_calibration(predictions, score),
        select=recipe.evaluate.select,
        precision=result.precision,
        device=torch.device(device).type,
        train_seconds=round(trained - trained_from, 3),
        seconds=round(time.monotonic() - started, 3),
    )


def _record(task: CellTask, metrics: Mapping[str, float], said: Tensor, score: HeldOutScore) -> StudentRecord:
    cell, recipe = task.cell, task.worker.recipe
    return StudentRecord(
        student=SavedComponent(use=recipe.student.use, options=dict(recipe.student.options)),
        labels=task.teacher.labels,
        describe=recipe.describe,
        recipe=recipe.name,
        key=cell.key,
        method=cell.method,
        arm=cell.arm,
        k=cell.k,
        seed=cell.seed,
        teacher=task.teacher.fingerprint,
        metrics=dict(metrics),
        temperature=score.temperature,
        held_out=None
        if score.loss is None
        else HeldOut(labels=_gold(task.training.held_out).tolist(), logits=said.tolist()),
    )


def _calibration(predictions: Predictions, score: HeldOutScore) -> dict[str, Any]:
    """The fields of a row that say what held-out rows say of a student, and what its temperature changes on the
    evaluation split."""
    logits, labels = predictions.student_logits, predictions.labels
    calibrated = None if score.temperature is None else logits.double() / score.temperature
    return {
        "held_out_rows": score.rows,
        "held_out_accuracy": score.accuracy,
        "held_out_loss": score.loss,
        "temperature": score.temperature,
        "calibration_error": expected_calibration_error(logits, labels),
        "calibrated_error": None if calibrated is None else expected_calibration_error(calibrated, labels),
    }


def steps_for_any_arm(settings: TrainSettings, k: int) -> TrainSettings:
    """The settings with epochs turned into steps of ``k`` examples, so that arms take equally many, also where one is
    short of pairs."""
    return settings.model_copy(update={"epochs": None, "steps": steps_at(settings, k)})


def _predictions(
    student: Classifier, examples: Sequence[Example], signals: TeacherSignals, device: str, precision: str
) -> Predictions:
    return Predictions(
        student_logits=_logits(student, examples, device, precision),
        teacher_logits=signals.logits([example.input for example in examples]).cpu(),
        labels=_gold(examples),
    )


def _logits(student: Classifier, examples: Sequence[Example], device: str, precision: str) -> Tensor:
    return predict(student, [example.input for example in examples], device=device, precision=precision).cpu()


def _gold(examples: Sequence[Example]) -> Tensor:
    return torch.tensor([example.hard_label for example in examples], dtype=torch.long)


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
