"""What a report must know of plugins without importing them: it is written into ``run.json`` when a run begins."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from cod_runner.errors import CodrunError, SettingError, standing_at
from cod_runner.loss_terms import term_names
from cod_runner.recipe.grammar import Recipe, WeightedLoss
from cod_runner.registry import Registry
from cod_runner.runs.origins import longest_input, origins_of
from cod_runner.runs.records import FIELDS, MetricRecord, RunRecord


def metrics_of(recipe: Recipe, registry: Registry) -> list[MetricRecord]:
    """The title and direction of each metric, in the order of the recipe.

    Raises :class:`SettingError` for a metric with the name of another key of ``cells.jsonl``.
    """
    for index, use in enumerate(recipe.evaluate.metrics):
        if use.use in FIELDS:
            with standing_at("evaluate", "metrics", index):
                raise SettingError(
                    f"the metric `{use.use}` has the name of a key that codrun itself writes into cells.jsonl; its "
                    "plugin must give it another name"
                )
    return [_metric(use.use, registry) for use in recipe.evaluate.metrics]


def methods_without_teacher(recipe: Recipe, registry: Registry) -> list[str]:
    """Methods none of whose losses with a positive weight uses the teacher: their plain arm learns nothing from it."""
    return [name for name, losses in recipe.methods.items() if not _use_teacher(losses, registry)]


def terms_of_teacher(recipe: Recipe, registry: Registry) -> dict[str, list[str]]:
    """By method, the terms of its loss with a positive weight that use the teacher.

    A loss whose plugin is gone, or takes other options today, is passed over.
    """
    found = {}
    for method, losses in recipe.methods.items():
        names = term_names((loss.use, loss.weight) for loss in losses)
        found[method] = [
            name
            for name, loss in zip(names, losses, strict=True)
            if not _surely_without_teacher([loss], registry, if_unknown=True)
        ]
    return found


def complete(record: RunRecord, recipe: Recipe, registry: Registry) -> RunRecord:
    """The record, completed with what older versions of codrun did not write.

    The missing parts come from the plugins installed today. If a plugin is gone, higher counts as better for its
    metric, and a method with its loss counts as one that uses the teacher.
    """
    known = {metric.name: metric for metric in record.metrics}
    metrics = [known.get(use.use) or _metric_if_known(use.use, registry) for use in recipe.evaluate.metrics]
    without = record.without_teacher
    if without is None:
        without = [name for name, losses in recipe.methods.items() if _surely_without_teacher(losses, registry)]
    of_teacher = record.terms_of_teacher
    if of_teacher is None:
        of_teacher = terms_of_teacher(recipe, registry)
    return (record if record.origins is not None else with_origins(record, recipe, registry)).model_copy(
        update={"metrics": metrics, "without_teacher": without, "terms_of_teacher": of_teacher}
    )


def with_origins(record: RunRecord, recipe: Recipe, registry: Registry) -> RunRecord:
    """The record with what a model card must know of the components, as far as their plugins say it."""
    found = {"origins": origins_of(recipe, registry), "longest_input": longest_input(recipe, registry)}
    return record.model_copy(update=found)


def _metric(name: str, registry: Registry) -> MetricRecord:
    component = registry.find("metric", name)
    return MetricRecord(name=name, title=component.title or name, higher_is_better=component.higher_is_better)


def _metric_if_known(name: str, registry: Registry) -> MetricRecord:
    try:
        return _metric(name, registry)
    except CodrunError:
        return MetricRecord.unknown(name)


def _use_teacher(losses: Sequence[WeightedLoss], registry: Registry) -> bool:
    weighed = (loss for loss in losses if loss.weight > 0)
    return any(registry.options("loss", loss.use, loss.options).uses_teacher() for loss in weighed)


def _surely_without_teacher(losses: Sequence[WeightedLoss], registry: Registry, if_unknown: bool = False) -> bool:
    try:
        return not _use_teacher(losses, registry)
    except (CodrunError, ValidationError):  # the plugin is gone, or takes other options today
        return if_unknown
