"""Beside Algorithm 1: rows of the pool that calibrate a trained student, and tell which of several to ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from cod_runner.api import Example
from cod_runner.context import RunContext
from cod_runner.data.corpus import Corpus
from cod_runner.data.fewshot import TrainingSet
from cod_runner.data.held_out import HELD_OUT_ROWS, HeldOutRows
from cod_runner.engine.held_out import FEWEST_ROWS
from cod_runner.stages.teacher import SetKey, rows_of_the_teacher

HeldOutSets: TypeAlias = Mapping[SetKey, tuple[Example, ...]]
"""The held-out rows of each (arm, k, seed)."""


def hold_out(context: RunContext, corpus: Corpus, sets: Mapping[SetKey, TrainingSet]) -> HeldOutSets:
    """The held-out rows of every training set; says how many gold labels they are."""
    recipe, progress = context.recipe, context.progress
    options = context.registry.options("student", recipe.student.use, recipe.student.options)
    tuned = recipe.teacher.finetune if options.from_teacher() else None
    seen = {row.id for row in rows_of_the_teacher(corpus.pool, tuned)} if tuned is not None else set()
    rows = HeldOutRows(corpus.pool, seen)
    held_out = {place: rows.of(chosen) for place, chosen in sets.items()}
    if any(len(each) < FEWEST_ROWS for each in held_out.values()):
        progress.warn(
            f"for some students fewer than {FEWEST_ROWS} rows of the pool are left that none of their training texts "
            "is like, so they are not calibrated: give more labelled rows, or take a smaller k"
            + (" or fewer rows for the teacher that they are cut from" if seen else "")
        )
    progress.say(
        f"held out: {gold_labels(held_out):,} gold labels of the pool are read beside k, at most {HELD_OUT_ROWS} for a "
        "student; they calibrate the students and compare them, and train none"
    )
    return held_out


def gold_labels(held_out: HeldOutSets) -> int:
    """How many distinct rows are held out, all training sets together."""
    return len({row.id for rows in held_out.values() for row in rows})
