"""Beside Algorithm 1: rows of the pool that calibrate a trained student, and tell which of several to ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cod_runner.context import RunContext
from cod_runner.data.corpus import Corpus
from cod_runner.data.fewshot import TrainingSet
from cod_runner.data.held_out import HELD_OUT_ROWS, HeldOutRows
from cod_runner.engine.held_out import FEWEST_ROWS
from cod_runner.runs.cells import TrainingSetKey
from cod_runner.stages.teacher import rows_of_the_teacher


def with_held_out(
    context: RunContext, corpus: Corpus, sets: Mapping[TrainingSetKey, TrainingSet]
) -> dict[TrainingSetKey, TrainingSet]:
    """Every training set with its held-out rows; says how many gold labels they are."""
    recipe, progress = context.recipe, context.progress
    options = context.registry.options("student", recipe.student.use, recipe.student.options)
    tuned = recipe.teacher.finetune if options.from_teacher() else None
    seen = {row.id for row in rows_of_the_teacher(corpus.pool, tuned)} if tuned is not None else set()
    rows = HeldOutRows(corpus.pool, seen)
    found = {place: replace(chosen, held_out=rows.of(chosen)) for place, chosen in sets.items()}
    if any(len(chosen.held_out) < FEWEST_ROWS for chosen in found.values()):
        progress.warn(
            f"some students are not calibrated: of the pool, fewer than {FEWEST_ROWS} rows are left that differ from "
            "all of their training texts; give more labelled rows, or take a smaller k"
            + (" or fewer rows for the teacher that they are cut from" if seen else "")
        )
    progress.say(
        f"held out: {gold_labels(found.values()):,} gold labels of the pool are read beside k, at most {HELD_OUT_ROWS} "
        "for a student; they calibrate the students and compare them, and train none"
    )
    return found


def gold_labels(sets: Iterable[TrainingSet]) -> int:
    """How many distinct rows are held out, all training sets together."""
    return len({row.id for chosen in sets for row in chosen.held_out})
