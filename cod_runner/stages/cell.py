"""One cell, wherever it runs: its student is built, trained, measured and saved. Lines 7 to 16 of Algorithm 1."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import (
    BuildContext,
    Classifier,
    Example,
    Predictions,
    TrainSettings,
    TrainsItself,
    expected_calibration_error,
    input_as_json,
)
from cod_runner.component_results import check_metric
from cod_runner.context import WorkerContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.asking import network
from cod_runner.engine.device import resolve_precision
from cod_runner.engine.held_out import HeldOutScore, held_out_score
from cod_runner.engine.inference import predict
from cod_runner.engine.own_training import let_train
from cod_runner.engine.signals_file import SignalsFile
from cod_runner.engine.steps import steps_at
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.training import train_student
from cod_runner.files import folder_written_whole
from cod_runner.observers import Observers
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.runs.failed import FailedCell, cause_of
from cod_runner.runs.records import CellRow
from cod_runner.runs.student_record import HeldOut, SavedComponent, StudentRecord, write_student_record
from cod_runner.stages.build import TeacherSource, build_metric, build_student, build_teacher, build_term
from cod_runner.store import content_key


@dataclass(frozen=True)
class SharedByCells:
    """What all cells of a part of a run have in common; can be pickled."""

    worker: WorkerContext
    teacher: TeacherSource
    evaluation: tuple[Example, ...]
    dev: tuple[Example, ...]
    """Rows that choose the epoch; none unless the recipe asks for it."""
    signals: SignalsFile
    """What the teacher said of these rows, and of every row that some cell trains on."""
    leaves_rows: bool = True
    """Whether a worker leaves the row of a cell on the disk before it answers; not where the cell has its line, and
    only its student is trained again."""

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.worker.students.parent


@dataclass(frozen=True)
class CellTask:
    """One cell and what it alone trains on; can be pickled."""

    cell: Cell
    training: TrainingSet

    def __str__(self) -> str:
        return self.cell.name


def train_cell(task: CellTask, shared: SharedByCells, registry: Registry, observers: Observers) -> CellRow | FailedCell:
    """Build, train, measure and save one student; returns its line of ``cells.jsonl``. One whose metrics or logits are
    infinite or NaN is not saved.

    Its result depends on the task alone, bit for bit on one CPU, so students always train on one thread.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    cell, worker, labels = task.cell, shared.worker, shared.teacher.labels
    recipe, device = worker.recipe, worker.device
    signals = shared.signals.opened()
    given = BuildContext(
        labels=labels, seed=cell.seed, teacher=lambda: network(build_teacher(worker, registry, shared.teacher))
    )
    student = build_student(worker, registry, given)
    terms = [build_term(worker, registry, labels, term, cell.seed) for term in recipe.methods[cell.method]]
    precision = resolve_precision(recipe.train.precision, device)

    def predicted(examples: Sequence[Example]) -> Predictions:
        return _predictions(student, examples, signals, device, precision)

    def accuracy_on(examples: Sequence[Example]) -> float:
        predictions = predicted(examples)
        return float((predictions.student_logits.argmax(1) == predictions.labels).float().mean())

    watched = {"best_dev": shared.dev, "best_reported": shared.evaluation}.get(recipe.evaluate.select)
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
            cache_folder=worker.store.root / "losses" / fitted_key(task, shared),  # made by what is written into it
            on_step=lambda step, losses: observers.notify("codrun_step", cell=vars(cell), step=step, losses=losses),
            evaluate_epoch=None if watched is None else lambda: accuracy_on(watched),
        )
    trained = time.monotonic()
    predictions = predicted(shared.evaluation)
    finite = bool(torch.isfinite(predictions.student_logits).all())
    metrics = {
        use.use: check_metric(
            registry.named("metric", use.use), build_metric(recipe, registry, labels, use)(predictions)
        )
        for use in (recipe.evaluate.metrics if finite else ())  # a metric may not bear what is not a number
    }
    cause = cause_of(metrics, finite)
    if cause is not None:
        return FailedCell(**vars(cell), name=cell.name, cause=cause)
    said = _logits(student, task.training.held_out, device, precision)
    score = held_out_score(said, _gold(task.training.held_out))
    if recipe.students != "none":
        with folder_written_whole(worker.students / cell.name) as folder:
            student.save(folder)
            write_student_record(folder, _record(task, shared, metrics, said, score))
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


def _record(
    task: CellTask, shared: SharedByCells, metrics: Mapping[str, float], said: Tensor, score: HeldOutScore
) -> StudentRecord:
    cell, recipe = task.cell, shared.worker.recipe
    return StudentRecord(
        student=SavedComponent(use=recipe.student.use, options=dict(recipe.student.options)),
        labels=shared.teacher.labels,
        describe=recipe.describe,
        recipe=recipe.name,
        key=cell.key,
        method=cell.method,
        arm=cell.arm,
        k=cell.k,
        seed=cell.seed,
        teacher=shared.teacher.fingerprint,
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


def fitted_key(task: CellTask, shared: SharedByCells) -> str:
    """Names what the losses of a cell fit before training: the cell, and what its recipe does not pin down, the
    teacher's weights and the texts, which differ where a hub's branch has moved or a model was asked anew."""
    return content_key(
        {
            "cell": task.cell.key,
            "teacher": shared.teacher.fingerprint,
            "training": [[row.id, input_as_json(row.input), row.label] for row in task.training.rows],
            "device": torch.device(shared.worker.device).type,
            "precision": resolve_precision(shared.worker.recipe.train.precision, shared.worker.device),
        }
    )
