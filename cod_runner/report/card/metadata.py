"""The YAML block of a card, which the hub reads: licence, base model, data set, scores. What is unknown is absent."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from cod_runner.plain_text import one_line
from cod_runner.report.card.subject import Subject

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

UNKNOWN = "unknown"
"""The hub's word for a licence of which nothing is said."""
TAGS = ("codrun", "knowledge-distillation", "few-shot")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Licence(NamedTuple):
    """Of a student, and who says so."""

    name: str
    says: str
    """A clause that ends a sentence."""


def licence_of(subject: Subject) -> Licence:
    """The author's word, or that of the base checkpoint's own card; never a guess."""
    if subject.card.license is not None:
        return Licence(subject.card.license, "as the author of its recipe says")
    base = subject.base
    if base is not None and base.license is not None:
        return Licence(base.license, "as the card of its base checkpoint says")
    there = "it has no base checkpoint" if base is None else "no card of its base checkpoint was there that states one"
    why = f"its recipe states none, and {there}"
    return Licence(UNKNOWN, why)


def card_data(subject: Subject) -> ModelCardData:
    """The block. Imports huggingface_hub."""
    from huggingface_hub import ModelCardData

    base = subject.base
    base_model = subject.card.base_model or (base.name if base is not None and base.on_the_hub else None)
    data_sets = [origin.name for origin in subject.origins("dataset") if origin.on_the_hub]
    adds = ("counterfactual-explanations",) if subject.arm.adds_flips else ()
    results = _results(subject)
    return ModelCardData(
        license=licence_of(subject).name,
        language=list(subject.card.language) if subject.card.language else None,
        base_model=base_model,
        datasets=data_sets or None,
        library_name=subject.library,
        pipeline_tag="tabular-classification" if subject.reads_vectors else "text-classification",
        tags=[*TAGS, *adds],
        metrics=[metric.name for metric in subject.metrics if _WORD.fullmatch(metric.name)] or None,
        model_name=f"{subject.recipe.name}/{subject.student.cell}" if results else None,
        eval_results=results or None,
    )


def _results(subject: Subject) -> list[EvalResult]:
    """Its own scores, on the split on which they were measured."""
    from huggingface_hub import EvalResult

    kind = "tabular-classification" if subject.reads_vectors else "text-classification"
    data_set = next((origin for origin in subject.origins("dataset") if origin.on_the_hub), None)
    used = subject.recipe.dataset.use
    optimistic = " (optimistic: epoch chosen on these rows)" if subject.report.optimistic else ""
    return [
        EvalResult(
            task_type=kind,
            dataset_type=data_set.name if data_set is not None else used,
            dataset_name=one_line(subject.data_set),
            dataset_split=one_line(subject.recipe.evaluate.split),
            metric_type=one_line(metric.name),
            metric_name=one_line(metric.title) + optimistic,
            metric_value=round(value, 4),
        )
        for metric in subject.metrics
        if (value := subject.row.metrics.get(metric.name)) is not None and math.isfinite(value)
    ]
