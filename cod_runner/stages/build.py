"""Builds a recipe's models and losses, in the process of the run or in a worker's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cod_runner.api import BuildContext, Classifier, Example, LabelScorer, Loss, Metric, Teacher
from cod_runner.context import WorkerContext
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.seeds import derived_seed
from cod_runner.recipe.grammar import Recipe, Use, WeightedLoss
from cod_runner.registry import Registry
from cod_runner.stages.kept_teacher import read_kept

NOTHING_SAID = BuildContext()


@dataclass(frozen=True)
class TeacherSource:
    """How any process has the trained teacher, or what it said, again; can be pickled."""

    labels: tuple[str, ...]
    """In logit order."""
    weights: Path | None = None
    """Folder of the fine-tuned weights; None where the checkpoint is used as it is."""
    fingerprint: str = ""
    """Its signals are stored under it; empty until the teacher is trained."""
    shots: tuple[Example, ...] = ()
    """The labelled texts of its prompt, where it is a language model."""


def build_teacher(
    worker: WorkerContext, registry: Registry, source: TeacherSource, base: BuildContext = NOTHING_SAID
) -> Teacher:
    """The teacher, with its fine-tuned weights where there are some, ready to be asked, and not yet calibrated.

    ``base`` brings what the run has besides: where to say something, and what may be spent.
    """
    recipe = worker.recipe
    finetune = recipe.teacher.finetune
    context = replace(
        base,
        labels=source.labels,
        describe=recipe.describe,
        device=worker.device,
        seed=finetune.seed if finetune else 0,
        offline=worker.offline,
        processes=recipe.teacher.processes,
        shots=source.shots,
        store=worker.store.root,
    )
    teacher: Teacher = registry.build("teacher", recipe.teacher.use, recipe.teacher.options, context)
    if isinstance(teacher, LabelScorer):
        return teacher
    if source.weights is not None:
        read_kept(teacher, source.weights)
    teacher.to(worker.device)
    teacher.eval()
    return teacher


def build_student(worker: WorkerContext, registry: Registry, base: BuildContext) -> Classifier:
    """An untrained student; its initialisation draws from a stream of its own.

    ``base`` brings labels, seed and teacher, which is called only for a student that is cut from it, and where to say
    something.
    """
    recipe = worker.recipe
    context = replace(
        base,
        describe=recipe.describe,
        device=worker.device,
        seed=derived_seed(base.seed, "student"),
        offline=worker.offline,
    )
    student: Classifier = registry.build("student", recipe.student.use, recipe.student.options, context)
    student.to(worker.device)
    return student


def build_term(
    worker: WorkerContext, registry: Registry, labels: tuple[str, ...], term: WeightedLoss, seed: int
) -> WeightedTerm:
    """One term of a method's loss; its parameters come later, in ``bind``."""
    context = BuildContext(labels=labels, device=worker.device, seed=seed)
    loss: Loss = registry.build("loss", term.use, term.options, context)
    return WeightedTerm(term.use, loss, term.weight, registry.options("loss", term.use, term.options).needs)


def build_metric(recipe: Recipe, registry: Registry, labels: tuple[str, ...], use: Use) -> Metric:
    """One metric of the recipe."""
    context = BuildContext(labels=labels, describe=recipe.describe)
    metric: Metric = registry.build("metric", use.use, use.options, context)
    return metric
