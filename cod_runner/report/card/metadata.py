"""The YAML block of a card, which the hub reads: licence, base model, data set, scores. What is unknown is absent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from cod_runner.plain_text import one_line
from cod_runner.report.card.subject import Subject

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

UNKNOWN = "unknown"
"""The hub's word for a licence of which nothing is said."""
TAGS = ("codrun", "knowledge-distillation", "few-shot")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


STAND_IN = "name-of-the-student-k0-s0"
LARGEST_STAND_IN = 987_654_321
"""In the place of a name, and counted down from it, of scores."""


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


def yaml_block(subject: Subject) -> str:
    """The block's text. It is laid out once for all students of a run of which it differs in name and scores alone,
    which then are put into their places. Imports huggingface_hub."""
    scores, cell = _scores(subject), subject.student.cell
    if not scores or not _WORD.fullmatch(cell):
        return card_data(subject, cell, scores).to_yaml()
    places = {STAND_IN: cell} | {
        f"value: {LARGEST_STAND_IN - number}": f"value: {_scalar(score)}"
        for number, score in enumerate(scores.values())
    }
    alike = (subject.row.method, subject.row.arm, subject.row.k, subject.fold, subject.library, *scores)
    stand_ins = {name: LARGEST_STAND_IN - number for number, name in enumerate(scores)}
    text = subject.run.once(("yaml", *alike), lambda: card_data(subject, STAND_IN, stand_ins).to_yaml())
    if any(text.count(place) != 1 for place in places):  # a recipe that has such words itself
        return card_data(subject, cell, scores).to_yaml()
    for place, content in places.items():
        text = text.replace(place, content)
    return text


def _scalar(value: float) -> str:
    """A number as YAML writes it."""
    from yaml.representer import SafeRepresenter

    written: str = SafeRepresenter().represent_data(value).value
    return written


def card_data(subject: Subject, cell: str, scores: Mapping[str, float]) -> ModelCardData:
    """The block of the student called ``cell``, with these scores by the metric's name. Imports huggingface_hub."""
    from huggingface_hub import ModelCardData

    base = subject.base
    base_model = subject.card.base_model or (base.name if base is not None and base.on_the_hub else None)
    data_sets = [origin.name for origin in subject.origins("dataset") if origin.on_the_hub]
    adds = ("counterfactual-explanations",) if subject.arm.adds_flips else ()
    results = _results(subject, scores)
    return ModelCardData(
        license=licence_of(subject).name,
        language=list(subject.card.language) if subject.card.language else None,
        base_model=base_model,
        datasets=data_sets or None,
        library_name=subject.library,
        pipeline_tag="tabular-classification" if subject.reads_vectors else "text-classification",
        tags=[*TAGS, *adds],
        metrics=[metric.name for metric in subject.metrics if _WORD.fullmatch(metric.name)] or None,
        model_name=f"{subject.recipe.name}/{cell}" if results else None,
        eval_results=results or None,
    )


def _scores(subject: Subject) -> dict[str, float]:
    """Its own, by the metric's name, as far as they are numbers."""
    measured = ((metric.name, subject.row.metrics.get(metric.name)) for metric in subject.metrics)
    return {name: round(value, 4) for name, value in measured if value is not None and math.isfinite(value)}


def _results(subject: Subject, scores: Mapping[str, float]) -> list[EvalResult]:
    """The scores, on the split on which they were measured."""
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
            metric_value=scores[metric.name],
        )
        for metric in subject.metrics
        if metric.name in scores
    ]
