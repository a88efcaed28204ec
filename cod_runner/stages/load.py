"""Everything a recipe names, loaded and checked before anything is trained or paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cod_runner.api import BuildContext, Classifier, Dataset, Example, Generator, Spending
from cod_runner.context import RunSettings
from cod_runner.data.corpus import Corpus, content_rank, prepare_corpus
from cod_runner.data.fewshot import check_k, check_pool
from cod_runner.engine.device import choose_device
from cod_runner.engine.training import refuse_misaligned
from cod_runner.errors import standing_at
from cod_runner.progress import Progress
from cod_runner.recipe.grammar import Arm, Recipe
from cod_runner.registry import Registry
from cod_runner.stages.students import build_student, build_term
from cod_runner.stages.teacher import TeacherSource, refuse_untrained
from cod_runner.store import Store


@dataclass
class Experiment:
    """Data, models and generators of one recipe, all of them reachable and matched with each other."""

    corpus: Corpus
    source: TeacherSource
    teacher: Classifier
    """As built: before fine-tuning, if the recipe fine-tunes it."""
    teacher_layers: tuple[int, ...]
    """The layers whose hidden states some loss wants."""
    generators: Mapping[Arm, Sequence[tuple[str, Generator]]]
    """By the arm whose pairs they complete."""
    dev: tuple[Example, ...] = ()
    """Rows of the pool that choose the best epoch, apart from everything that is trained on."""


def load_experiment(
    recipe: Recipe, registry: Registry, store: Store, settings: RunSettings, spending: Spending, progress: Progress
) -> Experiment:
    """Load the data, build teacher, one student, every loss and every generator.

    Raises :class:`CodrunError` where one cannot be reached or two do not fit, before any training or spending.
    """
    device = choose_device(settings.device)
    corpus = load_corpus(recipe, registry, settings, progress)
    dev: tuple[Example, ...] = ()
    if recipe.evaluate.select == "best_dev":
        corpus, dev = with_dev(corpus)
        progress.say(f"best_dev: {len(dev):,} rows of the pool choose the epoch")
    for index, k in enumerate(recipe.k):
        with standing_at("k", index):
            check_pool(k, corpus.labels, corpus.pool, recipe.arms)
    source = TeacherSource(recipe, corpus.labels, device, settings.offline)
    teacher = source.load(registry, progress)
    with standing_at("teacher"):
        refuse_untrained(teacher, recipe)
    student = build_student(source, registry, recipe.seeds[0], teacher)
    _warn_if_large(student, teacher, progress)
    layers: set[int] = set()
    for method, terms in recipe.methods.items():
        for index, term in enumerate(terms):
            with standing_at("methods", method, index):
                built = build_term(registry, source, term, recipe.seeds[0])
                layers.update(built.needs(teacher.shape, student.shape).teacher)
                refuse_misaligned(term.use, built.loss, teacher, student, corpus.pool[:64])
    generators = _generators(recipe, registry, store, settings, corpus, spending, progress)
    return Experiment(corpus, source, teacher, tuple(sorted(layers)), generators, dev)


def load_corpus(recipe: Recipe, registry: Registry, settings: RunSettings, progress: Progress) -> Corpus:
    """Read the data set, clean it, and set the evaluation split apart."""
    context = BuildContext(offline=settings.offline, say=progress.warn)
    dataset: Dataset = registry.build("dataset", recipe.dataset.use, recipe.dataset.options, context)
    with standing_at("dataset"):
        data = dataset.load()
    with standing_at():
        corpus = prepare_corpus(data, recipe.evaluate.split)
    for note in corpus.notes:
        progress.say(note)
    for index, k in enumerate(recipe.k):
        with standing_at("k", index):
            check_k(k, len(corpus.labels), recipe.arms)
    progress.say(f"data: {len(corpus.pool):,} rows to draw from, {len(corpus.evaluation):,} rows to evaluate on")
    return corpus


def with_dev(corpus: Corpus) -> tuple[Corpus, tuple[Example, ...]]:
    """Carve 20% of the pool, at most 500 rows, out of it; the same rows for every k and seed."""
    ranked = sorted(corpus.pool, key=lambda example: content_rank("dev", 0, example))
    chosen = {example.id for example in ranked[: min(500, len(ranked) // 5)]}
    pool = tuple(example for example in corpus.pool if example.id not in chosen)
    return replace(corpus, pool=pool), tuple(example for example in corpus.pool if example.id in chosen)


def _generators(
    recipe: Recipe,
    registry: Registry,
    store: Store,
    settings: RunSettings,
    corpus: Corpus,
    spending: Spending,
    progress: Progress,
) -> dict[Arm, list[tuple[str, Generator]]]:
    context = BuildContext(
        labels=corpus.labels,
        describe=recipe.describe,
        offline=settings.offline,
        pool=corpus.pool,
        store=store.root,
        say=progress.warn,
        spending=spending,
    )
    return {
        arm: [(use.use, registry.build("generator", use.use, use.options, context)) for use in recipe.generators(arm)]
        for arm in recipe.arms
    }


def _warn_if_large(student: Classifier, teacher: Classifier, progress: Progress) -> None:
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (student, teacher)]
    if sizes[0] >= sizes[1]:
        progress.warn(
            f"the student is as large as its teacher ({sizes[0] / 1e6:.1f}M against {sizes[1] / 1e6:.1f}M parameters)"
        )
