"""Stage 1a: the rows of a recipe, read, cleaned, and divided into what is trained on and what is measured."""

from __future__ import annotations

from dataclasses import replace

from cod_runner.api import BuildContext, DataError, Dataset, Example, LoadedData
from cod_runner.component_results import check_data
from cod_runner.context import RunContext
from cod_runner.data.content import content_rank
from cod_runner.data.corpus import (
    DEV_ROWS,
    Corpus,
    prepare_corpus,
    prepare_folds,
    with_fewer_rows,
)
from cod_runner.data.fewshot import check_k, check_pool
from cod_runner.data.shots import drawn_shots
from cod_runner.errors import standing_at
from cod_runner.progress import Progress
from cod_runner.recipe.answering import answering_of
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.folds import warning_of_unequal_folds

FEW_ROWS = 50
"""To evaluate on: with fewer, the chance of the rows is larger than what methods differ by."""
ADVISED = 5
"""Folds."""


def load_rows(context: RunContext, fold: int | None) -> tuple[Corpus, tuple[Example, ...], tuple[Example, ...]]:
    """(corpus, rows that choose the epoch, shots); every k of the recipe can be drawn from the corpus of every fold."""
    recipe, progress = context.recipe, context.progress
    if (unequal := warning_of_unequal_folds(recipe)) is not None:
        progress.warn(unequal)
    data = read_data(recipe, context.registry, offline=context.settings.offline, progress=progress)
    corpora = corpora_of(recipe, data)
    divided = _all_divided(context, corpora)
    corpus, dev, shots = divided[fold or 0]
    if corpus.fold != fold:
        raise ValueError(f"a recipe with {recipe.evaluate.folds} folds is loaded fold by fold, not {fold}")
    whole = corpora[fold or 0]
    for note in whole.notes:
        progress.say(note)
    beside = f", {len(whole.unlabelled):,} texts without a label" if whole.unlabelled else ""
    progress.say(f"data: {len(whole.pool):,} rows to draw from, {len(whole.evaluation):,} rows to evaluate on{beside}")
    _warn_of_few_rows(context, data, whole)
    if dev:
        progress.warn(
            f"best_dev: {len(dev):,} rows of the pool choose the epoch, so {len(dev):,} gold labels are read beside k"
        )
    if shots:
        progress.say(f"{len(shots)} labelled rows of the pool are in the teacher's prompt, and nowhere else")
    return corpus, dev, shots


def _all_divided(
    context: RunContext, corpora: tuple[Corpus, ...]
) -> list[tuple[Corpus, tuple[Example, ...], tuple[Example, ...]]]:
    """:func:`divided_corpus` of each, checked to be large enough for every k."""
    divided = [divided_corpus(context.recipe, context.registry, corpus) for corpus in corpora]
    for index, k in enumerate(context.recipe.k):
        with standing_at("k", index):
            for corpus, _, _ in divided:
                check_pool(k, corpus.labels, corpus.pool, context.recipe.arms)
    return divided


def divided_corpus(
    recipe: Recipe, registry: Registry, corpus: Corpus
) -> tuple[Corpus, tuple[Example, ...], tuple[Example, ...]]:
    """(corpus without the others, rows that choose the epoch, rows in the teacher's prompt)."""
    dev: tuple[Example, ...] = ()
    if recipe.evaluate.select == "best_dev":
        with standing_at():
            corpus, dev = with_dev(corpus)
    answering = answering_of(recipe, registry)
    if answering is None or answering.shots == 0:
        return corpus, dev, ()
    with standing_at("teacher"):
        shots = drawn_shots(corpus.pool, corpus.labels, answering.shots, answering.seed)
    shown = {shot.id for shot in shots}
    return replace(corpus, pool=tuple(row for row in corpus.pool if row.id not in shown)), dev, shots


def read_data(recipe: Recipe, registry: Registry, *, offline: bool, progress: Progress) -> LoadedData:
    """The data set of a recipe, as its plugin reads it."""
    given = BuildContext(offline=offline, say=progress.warn, tell=progress.tell)
    dataset: Dataset = registry.build("dataset", recipe.dataset.use, recipe.dataset.options, given)
    with standing_at("dataset"):
        return check_data(registry.named("dataset", recipe.dataset.use), dataset.load())


def corpora_of(recipe: Recipe, data: LoadedData) -> tuple[Corpus, ...]:
    """The data, cleaned, with the evaluation split set apart: one corpus, or one for each fold; the same rows in every
    process."""
    evaluate = recipe.evaluate
    with standing_at():
        if evaluate.folds is not None:
            corpora = prepare_folds(data, evaluate.split, evaluate.folds)
        else:
            corpora = (with_fewer_rows(prepare_corpus(data, evaluate.split), evaluate.rows),)
    for index, k in enumerate(recipe.k):
        with standing_at("k", index):
            check_k(k, len(data.labels), recipe.arms)
    return corpora


def _warn_of_few_rows(context: RunContext, data: LoadedData, corpus: Corpus) -> None:
    """Say that differences settle little, and name folds where this recipe can have them."""
    evaluate, measured = context.recipe.evaluate, len(corpus.evaluation)
    if evaluate.folds is not None or measured >= FEW_ROWS:
        return
    cure = "measure on more rows"
    if evaluate.rows is not None and evaluate.rows <= measured:
        cure = "raise `evaluate.rows`"
    elif evaluate.rows is None and _can_be_folded(context, data):
        rows = len(corpus.pool) + measured
        seeds = list(range(ADVISED))
        cure = f"`evaluate: {{folds: {ADVISED}}}` with `seeds: {seeds}` measures all {rows:,} labelled rows"
    context.progress.warn(
        f"{measured:,} rows to evaluate on: one of them is {1 / measured:.2f} of the accuracy, so differences settle "
        f"little; {cure}"
    )


def _can_be_folded(context: RunContext, data: LoadedData) -> bool:
    try:
        _all_divided(context, prepare_folds(data, context.recipe.evaluate.split, ADVISED))
    except DataError:
        return False
    return True


def with_dev(corpus: Corpus) -> tuple[Corpus, tuple[Example, ...]]:
    """Carve 20% of the pool, at most :data:`DEV_ROWS`, out of it; the same rows for every k and seed. Raises
    :class:`DataError` where that is no row."""
    ranked = sorted(corpus.pool, key=lambda example: content_rank("dev", 0, example))
    chosen = {example.id for example in ranked[: min(DEV_ROWS, len(ranked) // 5)]}
    if not chosen:
        raise DataError(
            f"`select: best_dev` chooses the epoch by a fifth of the pool, which has {len(ranked)} rows: give more, or "
            "take `select: last`",
            "evaluate",
            "select",
        )
    pool = tuple(example for example in corpus.pool if example.id not in chosen)
    return replace(corpus, pool=pool), tuple(example for example in corpus.pool if example.id in chosen)
