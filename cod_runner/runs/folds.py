"""What the folds of a cross-validation are together: the teacher's accuracy over all rows, the counts of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.records import RunRecord

SUMS = frozenset({"queries", "evaluation_usd", "rows_by_class"})
"""Facts of a teacher that are counted; other numbers are means, each fold weighing as its rows."""
MOST_NAMED = 5
"""Folds in a sentence."""
POOL, EVALUATION = "pool rows", "evaluation rows"


def folds_of(recipe: Recipe) -> list[int]:
    """The folds that the seeds of a recipe are measured on, in order; none where it has no folds."""
    return sorted({fold for seed in recipe.seeds if (fold := recipe.evaluate.fold_of(seed)) is not None})


def warning_of_unequal_folds(recipe: Recipe) -> str | None:
    """One sentence, where the seeds do not measure every row equally often; None where they do, or without folds."""
    evaluate = recipe.evaluate
    if evaluate.folds is None:
        return None
    seeds_of = [sum(evaluate.fold_of(seed) == fold for seed in recipe.seeds) for fold in range(evaluate.folds)]
    if min(seeds_of) == max(seeds_of):
        return None
    never = [str(fold) for fold, seeds in enumerate(seeds_of) if not seeds]
    unmeasured = f"the rows of fold{'' if len(never) == 1 else 's'} {', '.join(never)} never"
    if len(never) > MOST_NAMED:
        unmeasured = f"the rows of {len(never)} folds never"
    return (
        f"a seed measures the fold of its remainder by {evaluate.folds}, so these seeds measure "
        f"{unmeasured if never else 'some rows more often than others'}: take "
        f"seeds 0 to {evaluate.folds - 1}, or as many for each fold"
    )


def merge_folds(record: RunRecord, recipe: Recipe) -> None:
    """Make the run's facts of teacher and data those of all its folds that are known; without folds they stay."""
    known = {fold: record.folds[fold] for fold in folds_of(recipe) if fold in record.folds}
    folds = list(known.values())
    if not folds:
        return
    weights = [fold.data.get(EVALUATION, 0) for fold in folds]
    facts = merged_facts([fold.teacher for fold in folds], weights)
    facts["accuracy_by_fold"] = {str(fold): one.teacher.get("accuracy") for fold, one in known.items()}
    record.teacher = facts
    record.data = {
        **{name: value for name, value in record.data.items() if name not in folds[0].data},
        **folds[0].data,
        "folds": len(folds),
        POOL: _range([fold.data.get(POOL, 0) for fold in folds]),
        EVALUATION: sum(weights),
    }
    record.shared_queries = sum(fold.shared_queries for fold in folds)


def merged_facts(facts: Sequence[Mapping[str, Any]], weights: Sequence[int], sums: bool = False) -> dict[str, Any]:
    """The facts of all folds as one: means of numbers (or sums), mappings likewise; what differs otherwise is left
    out."""
    found: dict[str, Any] = {}
    for name in facts[0]:
        values = [each.get(name) for each in facts]
        added = sums or name in SUMS
        if all(isinstance(value, Mapping) for value in values):
            found[name] = merged_facts(values, weights, added)  # type: ignore[arg-type]
        elif all(value == values[0] for value in values) and not added:
            found[name] = values[0]
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found[name] = sum(values) if added else _mean(values, weights)  # type: ignore[arg-type]
        elif added:
            found[name] = None  # a price that is unknown for one fold is unknown for all
    return found


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _range(counts: Sequence[int]) -> int | str:
    """``48``, or ``47 to 48``."""
    return counts[0] if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
