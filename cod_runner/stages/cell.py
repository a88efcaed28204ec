"""One cell, wherever it runs: its student is built, trained, measured and saved. Lines 7 to 16 of Algorithm 1."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.own_training import let_train
from cod_runner.engine.signals_file import SignalsFile
from cod_runner.engine.steps import steps_at
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.training import TrainingResult, train_student
from cod_runner.files import folder_written_whole
from cod_runner.observers import Observers
from cod_runner.recipe.grammar import Recipe
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
    recipe = worker.recipe
    signals = shared.signals.opened()
    given = BuildContext(
        labels=labels, seed=cell.seed, teacher=lambda: network(build_teacher(worker, registry, shared.teacher))
    )
    student = build_student(worker, registry, given)
    terms = [build_term(worker, registry, labels, term, cell.seed) for term in recipe.methods[cell.method]]
    inference = _Inference(student, signals, worker.device, resolve_precision(recipe.train.precision, worker.device))

    trained_from = time.monotonic()
    result = _trained(task, shared, inference, terms, observers)
    train_seconds = time.monotonic() - trained_from

    predictions = inference.predictions(shared.evaluation)
    finite = bool(torch.isfinite(predictions.student_logits).all())
    metrics = _metrics(recipe, registry, labels, predictions) if finite else {}  # some metrics fail on NaN
    cause = cause_of(metrics, finite)
    if cause is not None:
        return FailedCell(**vars(cell), name=cell.name, cause=cause)

    held_out_logits = inference.logits(task.training.held_out)
    score = held_out_score(held_out_logits, _gold(task.training.held_out))
    if recipe.students != "none":
        with folder_written_whole(worker.students / cell.name) as folder:
            student.save(folder)
            write_student_record(folder, _record(task, shared, metrics, held_out_logits, score))
    return replace(
        _row(task, shared, result, metrics),
        **_calibration(predictions, score),
        train_seconds=round(train_seconds, 3),
        seconds=round(time.monotonic() - started, 3),
    )


@dataclass(frozen=True)
class _Inference:
    """A student, on the device and in the precision of its cell."""

    student: Classifier
    signals: TeacherSignals
    """What the teacher said of the examples."""
    device: str
    precision: str

    def logits(self, examples: Sequence[Example]) -> Tensor:
        """``[examples, classes]``, float32, on the CPU."""
        inputs = [example.input for example in examples]
        return predict(self.student, inputs, device=self.device, precision=self.precision).cpu()

    def predictions(self, examples: Sequence[Example]) -> Predictions:
        """What metrics measure: the student's logits beside the teacher's, and the gold labels."""
        teacher = self.signals.logits([example.input for example in examples]).cpu()
        return Predictions(student_logits=self.logits(examples), teacher_logits=teacher, labels=_gold(examples))

    def accuracy(self, examples: Sequence[Example]) -> float:
        """The share of examples that get their gold label."""
        return float((self.logits(examples).argmax(1) == _gold(examples)).float().mean())


def _trained(
    task: CellTask, shared: SharedByCells, inference: _Inference, terms: Sequence[WeightedTerm], observers: Observers
) -> TrainingResult:
    """Train the student in place, or let it train itself."""
    cell, recipe, student = task.cell, shared.worker.recipe, inference.student
    if isinstance(student, TrainsItself):
        return let_train(student, task.training.rows, seed=cell.seed, device=inference.device)
    watched = {"best_dev": shared.dev, "best_reported": shared.evaluation}.get(recipe.evaluate.select)
    return train_student(
        student,
        task.training.rows,
        terms,
        inference.signals,
        steps_for_any_arm(recipe.train, cell.k),
        seed=cell.seed,
        device=inference.device,
        # made by what is written into it
        cache_folder=shared.worker.store.root / "losses" / fitted_key(task, shared),
        on_step=lambda step, losses: observers.notify("codrun_step", cell=vars(cell), step=step, losses=losses),
        evaluate_epoch=None if watched is None else lambda: inference.accuracy(watched),
    )


def _metrics(recipe: Recipe, registry: Registry, labels: tuple[str, ...], predictions: Predictions) -> dict[str, float]:
    """What the recipe's metrics say, by name."""
    return {
        use.use: check_metric(
            registry.named("metric", use.use), build_metric(recipe, registry, labels, use)(predictions)
        )
        for use in recipe.evaluate.metrics
    }


def _row(task: CellTask, shared: SharedByCells, result: TrainingResult, metrics: Mapping[str, float]) -> CellRow:
    """The cell's line, but for what held-out rows and clocks say."""
    cell, training, cost = task.cell, task.training, task.training.cost
    return CellRow(
        key=cell.key,
        method=cell.method,
        arm=cell.arm,
        k=cell.k,
        seed=cell.seed,
        metrics=metrics,
        steps=result.steps,
        training_rows=len(training.rows),
        labelled=training.labelled,
        added=training.added,
        unlabelled=training.unlabelled,
        teacher_queries=cost.teacher_queries,
        embedded=cost.embedded,
        generator_calls=cost.generator_calls,
        usd=cost.usd,
        teacher_usd=cost.teacher_usd,
        redrawn=training.redrawn,
        yield_=round(training.group_yield, 4),
        teacher_disagrees_with_gold=training.teacher_disagrees,
        losses=result.losses,
        select=shared.worker.recipe.evaluate.select,
        precision=result.precision,
        device=torch.device(shared.worker.device).type,
    )


def _record(
    task: CellTask, shared: SharedByCells, metrics: Mapping[str, float], held_out_logits: Tensor, score: HeldOutScore
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
        else HeldOut(labels=_gold(task.training.held_out).tolist(), logits=held_out_logits.tolist()),
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
