"""Trains one cell's student and measures it: what a worker process does. Algorithm 1, lines 7 to 16."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cod_runner.api import BuildContext, Classifier, Example, Loss, Metric, Predictions, TrainSettings
from cod_runner.engine.device import resolve_precision
from cod_runner.engine.inference import predict
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.signals import SignalStore, TeacherSignals
from cod_runner.engine.training import WeightedTerm, train_student
from cod_runner.files import folder_written_whole
from cod_runner.recipe.grammar import Recipe, WeightedLoss
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.stages.teacher import TeacherSource
from cod_runner.stages.trackers import attach_trackers
from cod_runner.store import Store, content_key


@dataclass(frozen=True)
class CellTask:
    """One cell with everything a worker needs; can be pickled."""

    cell: Cell
    teacher: TeacherSource
    fingerprint: str
    """The teacher's; its signals lie in the store under it."""
    training: tuple[Example, ...]
    facts: Mapping[str, Any]
    """What the row tells of its training set: redrawn, yield, disagreements."""
    evaluation: tuple[Example, ...]
    dev: tuple[Example, ...]
    students: Path
    store: Path

    @property
    def recipe(self) -> Recipe:
        return self.teacher.recipe


class CellWork:
    """Trains cells with a run's own registry, so that its trackers see every step. A copy that is unpickled in
    another process works with that process's registry, and with trackers of its own."""

    def __init__(self, registry: Registry, *, observed: bool = True) -> None:
        self._registry = registry
        self._observed = observed
        """Whether the recipe's trackers are attached."""

    def __call__(self, task: CellTask) -> dict[str, Any]:
        if not self._observed:
            attach_trackers(task.recipe, self._registry)
            self._observed = True
        return train_cell(task, self._registry)

    def __reduce__(self) -> tuple[Callable[[], CellWork], tuple[()]]:
        return _work_of_this_process, ()


@functools.cache
def _work_of_this_process() -> CellWork:
    """One for all cells that a worker trains: plugins are discovered, and trackers built, once."""
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    return CellWork(Registry.discover(), observed=False)


def train_cell(task: CellTask, registry: Registry) -> dict[str, Any]:
    """Build, train, measure and save one student; returns its line of ``cells.jsonl``.

    Its result depends on the task alone, bit for bit on one CPU, so students always train on one thread.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    recipe, cell, device = task.recipe, task.cell, task.teacher.device
    signals = SignalStore(Store(task.store).signals).reader(task.fingerprint, device)
    student = build_student(task.teacher, registry, cell.seed)
    terms = [build_term(registry, task.teacher, term, cell.seed) for term in recipe.methods[cell.method]]
    settings = fixed_steps(recipe.train, cell.k)

    def accuracy_on(examples: Sequence[Example]) -> float:
        predictions = _predictions(student, examples, signals, device, recipe.train.precision)
        return float((predictions.student_logits.argmax(1) == predictions.labels).float().mean())

    watched = {"best_dev": task.dev, "best_reported": task.evaluation}.get(recipe.evaluate.select)
    trained_from = time.monotonic()
    result = train_student(
        student,
        task.training,
        terms,
        signals,
        settings,
        seed=cell.seed,
        device=device,
        cache_folder=Store(task.store).folder("losses") / fitted_key(task),
        on_step=lambda step, losses: registry.hook.codrun_step(
            cell={"method": cell.method, "arm": cell.arm, "k": cell.k, "seed": cell.seed}, step=step, losses=losses
        ),
        evaluate_epoch=None if watched is None else lambda: accuracy_on(watched),
    )
    trained = time.monotonic()
    predictions = _predictions(student, task.evaluation, signals, device, recipe.train.precision)
    metrics = {use.use: float(_metric(registry, use.use, use.options)(predictions)) for use in recipe.evaluate.metrics}
    with folder_written_whole(task.students / cell.name) as folder:
        student.save(folder)
    return {
        "key": cell.key,
        "method": cell.method,
        "arm": cell.arm,
        "k": cell.k,
        "seed": cell.seed,
        **metrics,
        "steps": result.steps,
        "training_rows": len(task.training),
        **task.facts,
        "losses": result.losses,
        "select": recipe.evaluate.select,
        "precision": resolve_precision(recipe.train.precision, device),
        "device": torch.device(device).type,
        "train_seconds": round(trained - trained_from, 3),
        "seconds": round(time.monotonic() - started, 3),
    }


def fitted_key(task: CellTask) -> str:
    """Names what the losses of a cell fit before training: the cell, and what its recipe does not pin down, the
    teacher's weights and the texts, which differ where a hub's branch has moved or a model was asked anew."""
    return content_key(
        {
            "cell": task.cell.key,
            "teacher": task.fingerprint,
            "training": [[row.id, row.input, row.label] for row in task.training],
            "device": torch.device(task.teacher.device).type,
            "precision": resolve_precision(task.recipe.train.precision, task.teacher.device),
        }
    )


def build_student(
    source: TeacherSource, registry: Registry, seed: int, teacher: Classifier | None = None
) -> Classifier:
    """An untrained student; its initialisation draws from a stream of its own.

    ``teacher`` is one that is at hand, for students that are cut from it; without it, it is loaded when asked for.
    """
    context = BuildContext(
        labels=source.labels,
        describe=source.recipe.describe,
        device=source.device,
        seed=derived_seed(seed, "student"),
        offline=source.offline,
        teacher=lambda: source.load(registry) if teacher is None else teacher,
    )
    student: Classifier = registry.build("student", source.recipe.student.use, source.recipe.student.options, context)
    student.to(source.device)
    return student


def build_term(registry: Registry, source: TeacherSource, term: WeightedLoss, seed: int) -> WeightedTerm:
    """One term of a method's loss; its parameters come later, in ``bind``."""
    context = BuildContext(labels=source.labels, device=source.device, seed=seed)
    loss: Loss = registry.build("loss", term.use, term.options, context)
    return WeightedTerm(term.use, loss, term.weight, registry.options("loss", term.use, term.options).needs)


def fixed_steps(settings: TrainSettings, k: int) -> TrainSettings:
    """The settings with epochs turned into steps of ``k`` examples, so that every arm takes equally many."""
    if settings.epochs is None:
        return settings
    steps = settings.epochs * math.ceil(math.ceil(k / settings.batch_size) / settings.accumulation)
    return settings.model_copy(update={"epochs": None, "steps": steps})


def _metric(registry: Registry, name: str, options: Mapping[str, Any]) -> Metric:
    metric: Metric = registry.build("metric", name, options, BuildContext())
    return metric


def _predictions(
    student: Classifier, examples: Sequence[Example], signals: TeacherSignals, device: str, precision: str
) -> Predictions:
    inputs = [example.input for example in examples]
    return Predictions(
        student_logits=predict(student, inputs, device=device, precision=resolve_precision(precision, device)).cpu(),
        teacher_logits=signals.logits(inputs).cpu(),
        labels=torch.tensor([example.label for example in examples]),
    )
