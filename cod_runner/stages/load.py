"""Stage 1: everything a recipe names, loaded and checked before anything is trained or paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cod_runner.api import (
    BuildContext,
    Chooser,
    Classifier,
    Example,
    Generator,
    LabelScorer,
    Needs,
    Selector,
    Teacher,
    TrainsItself,
)
from cod_runner.context import RunContext
from cod_runner.data.corpus import Corpus
from cod_runner.destinations import refuse_strangers, sendings
from cod_runner.disk import warning_of_a_full_disk
from cod_runner.engine.asking import network, shape_of
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.steps import warning_of_few_steps
from cod_runner.engine.training import refuse_misaligned
from cod_runner.errors import CodrunError, PluginError, SettingError, standing_at
from cod_runner.estimates import all_calls, budget_warnings, generator_calls, teacher_queries
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.answering import answering_of
from cod_runner.recipe.nodes import Place
from cod_runner.recipe.own_training import trains_itself
from cod_runner.runs.kept_students import students_kept
from cod_runner.stages.build import TeacherSource, build_metric, build_student, build_teacher, build_term
from cod_runner.stages.rows import load_rows
from cod_runner.stages.teacher_processes import refuse_unfit


@dataclass(frozen=True)
class Experiment:
    """Data and generators of one recipe, and what its losses read of the teacher."""

    corpus: Corpus
    dev: tuple[Example, ...]
    """Rows of the pool that choose the best epoch, apart from everything that is trained on."""
    shots: tuple[Example, ...]
    """Rows in the prompt of a teacher that is a language model, apart from the pool."""
    teacher_layers: tuple[int, ...]
    """The layers whose hidden states some loss reads."""
    generators: Mapping[Place, tuple[str, Generator]]
    """With their names, by their place in the recipe."""
    selectors: Mapping[str, Selector]
    """By the arm whose originals they order."""
    choosers: Mapping[str, Chooser]
    """By the arm that has one."""


def load_experiment(context: RunContext, fold: int | None = None) -> tuple[Experiment, Teacher]:
    """The data and every generator, and the teacher as it is before any fine-tuning or calibration.

    ``fold`` is the one to evaluate on, of a recipe with folds: everything else is made of the others.
    One student, every loss and every metric are built too, to be checked. Raises :class:`CodrunError` where something
    cannot be reached or two things do not fit, before any training or spending.
    """
    _show_destinations(context)
    _show_what_the_budget_lacks(context)
    with _offline_hint(context.loaded):
        worker = context.worker  # first of all: a device that is not there is refused before any data is read
        corpus, dev, shots = load_rows(context, fold)
        with standing_at("teacher"):
            refuse_unfit(context)
            run = BuildContext(say=context.progress.warn, tell=context.progress.tell, spending=context.spending)
            with _kept_models_noted(context):
                teacher = build_teacher(worker, context.registry, TeacherSource(corpus.labels, shots=shots), run)
            _refuse_undeclared(context, corpus, teacher)
            _refuse_untrained(context, teacher)
        layers = _check_methods(context, corpus, teacher)
        _check_metrics(context, corpus.labels)
        generators, selectors, choosers = _build_makers(context, corpus)
        return Experiment(corpus, dev, shots, layers, generators, selectors, choosers), teacher


@contextmanager
def _kept_models_noted(context: RunContext) -> Iterator[None]:
    """Note that the run uses what building the teacher keeps in the store, or finds there."""
    use = context.recipe.teacher
    with context.registry.asked("teacher", use.use, use.options) as options:
        places = [kept.place for kept in options.keeps() if kept.place is not None]
    there = [place for place in places if (context.store.root / place).is_dir()]
    yield
    for place in places:
        context.note_use(place, new=place not in there)


def _show_destinations(context: RunContext) -> None:
    """Say what goes where, before anything does; offline, nothing goes anywhere."""
    if context.settings.offline:
        return
    found = sendings(context.loaded, context.registry, context.settings.permissions)
    refuse_strangers(found)
    for sending in found:
        context.progress.say(f"sends {sending}")


def _show_what_the_budget_lacks(context: RunContext) -> None:
    """Say so before the first call; offline, none is made."""
    if context.settings.offline:
        return
    recipe, registry = context.recipe, context.registry
    for warning in budget_warnings(
        recipe, all_calls(generator_calls(recipe, registry), teacher_queries(recipe, registry))
    ):
        context.progress.caution(warning)


def _refuse_undeclared(context: RunContext, corpus: Corpus, teacher: Teacher) -> None:
    """The recipe was checked against what the teacher's options say of it."""
    said, name = answering_of(context.recipe, context.registry), context.recipe.teacher.use
    if (said is not None) != isinstance(teacher, LabelScorer):
        says, builds = ("only answers", "a network") if said is not None else ("is a network", "a label scorer")
        raise PluginError(
            f"the options of the teacher `{name}` say that it {says}, and it is {builds}: its plugin must tell so in "
            "`Options.answering`"
        )
    if isinstance(teacher, LabelScorer) and tuple(teacher.labels) != corpus.labels:
        raise PluginError(
            f"the teacher `{name}` answers about the labels {', '.join(teacher.labels)}, and the data has "
            f"{', '.join(corpus.labels)}: a bug in its plugin"
        )


def _refuse_untrained(context: RunContext, teacher: Teacher) -> None:
    """A checkpoint without a head would be a random teacher."""
    if isinstance(teacher, LabelScorer):
        return
    if context.recipe.teacher.finetune is None and teacher.untrained_head:
        raise SettingError(
            "the teacher's checkpoint has no trained classification head for these labels, so its answers would be "
            "random; add `finetune: {rows: ..., epochs: ...}` to `teacher`, or name a fine-tuned checkpoint"
        )


def _check_methods(context: RunContext, corpus: Corpus, teacher: Teacher) -> tuple[int, ...]:
    """Match every loss with teacher and student; returns the teacher's layers that some loss reads."""
    recipe, labels, seed = context.recipe, corpus.labels, context.recipe.seeds[0]
    given = BuildContext(labels=labels, seed=seed, teacher=lambda: network(teacher), say=context.progress.warn)
    student = build_student(context.worker, context.registry, given)
    if not isinstance(teacher, LabelScorer):
        _warn_if_large(student, teacher, context.progress)
    _warn_of_a_full_disk(context, student)
    own = trains_itself(recipe, context.registry)
    if isinstance(student, TrainsItself) != own:
        raise PluginError(f"the student `{recipe.student.use}` and its options disagree on whether it trains itself")
    few = warning_of_few_steps(recipe.train, recipe.k) if student.untrained_head and not own else None
    if few is not None:
        context.progress.warn(few)
    layers: set[int] = set()
    for method, terms in recipe.methods.items():
        for index, each in enumerate(terms):
            with standing_at("methods", method, index):
                term = build_term(context.worker, context.registry, labels, each, seed)
                needs = term.needs(shape_of(teacher), student.shape)
                _refuse_needs_of_the_class(term, needs, teacher, student)
                layers.update(needs.teacher)
                refuse_misaligned(term.name, term.loss, teacher, student, corpus.pool[:64])
    return tuple(sorted(layers))


def _refuse_needs_of_the_class(term: WeightedTerm, needs: Needs, teacher: Teacher, student: Classifier) -> None:
    """Losses of older plugins say themselves which layers they read, where nobody asks any more."""
    of_class = getattr(term.loss, "needs", None)
    if callable(of_class) and of_class(shape_of(teacher), student.shape) != needs:
        raise PluginError(
            f"the loss `{term.name}` reads hidden states that its options do not name: move the method `needs` from "
            "the loss to its options"
        )


def _check_metrics(context: RunContext, labels: tuple[str, ...]) -> None:
    for index, use in enumerate(context.recipe.evaluate.metrics):
        with standing_at("evaluate", "metrics", index):
            metric = build_metric(context.recipe, context.registry, labels, use)
        declared = context.registry.find("metric", use.use).higher_is_better
        if getattr(metric, "higher_is_better", declared) != declared:
            raise PluginError(
                f"the metric `{use.use}` says `higher_is_better = {not declared}` and its component does not: give "
                f"`higher_is_better={not declared}` to the Component"
            )


def _build_makers(
    context: RunContext, corpus: Corpus
) -> tuple[dict[Place, tuple[str, Generator]], dict[str, Selector], dict[str, Chooser]]:
    """(generators, selectors, choosers): whatever decides what the arms train on."""
    recipe, build = context.recipe, context.registry.build
    given = BuildContext(
        labels=corpus.labels,
        describe=recipe.describe,
        offline=context.settings.offline,
        pool=corpus.pool,
        unlabelled=corpus.unlabelled,
        store=context.store.root,
        say=context.progress.warn,
        tell=context.progress.tell,
        spending=context.spending,
    )
    unread = tuple(replace(row, label=None) for row in corpus.pool)
    unlabelled = replace(given, pool=unread, spending=None, device=context.device)
    generators: dict[Place, tuple[str, Generator]] = {}
    for place, kind, use in recipe.generators():
        with standing_at(*place):
            generators[place] = use.use, build(kind, use.use, use.options, given)
    selectors: dict[str, Selector] = {}
    choosers: dict[str, Chooser] = {}
    for name, arm in recipe.arms.items():
        with standing_at("arms", name, "select"):
            selectors[name] = build("selector", arm.select.use, arm.select.options, unlabelled)
        if arm.choose is not None:
            with standing_at("arms", name, "choose"):
                choosers[name] = build("chooser", arm.choose.use, arm.choose.options, unlabelled)
    return generators, selectors, choosers


def _warn_if_large(student: Classifier, teacher: Classifier, progress: Progress) -> None:
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (student, teacher)]
    if sizes[0] >= sizes[1]:
        progress.warn(
            f"the student is as large as its teacher ({sizes[0] / 1e6:.1f}M against {sizes[1] / 1e6:.1f}M parameters)"
        )


def _warn_of_a_full_disk(context: RunContext, student: Classifier) -> None:
    """Say before anything is trained that the students will not fit; what is finished by then would not be lost."""
    recipe, folder = context.recipe, context.folder
    there = sum(1 for each in folder.students.iterdir()) if folder.students.is_dir() else 0
    cells = students_kept(recipe) - there
    each = sum(parameter.numel() * parameter.element_size() for parameter in student.parameters())
    warning = warning_of_a_full_disk(max(0, cells), each, folder.path)
    if warning is not None:
        context.progress.warn(warning)


@contextmanager
def _offline_hint(loaded: LoadedRecipe) -> Iterator[None]:
    """Where something cannot be reached and the recipe can do without, say so."""
    try:
        yield
    except CodrunError as error:
        if loaded.profile is None and "offline" in loaded.profiles and error.exit_code == 1:
            raise CodrunError(f"{error}; `--profile offline` runs this recipe here, without a hub or a key") from error
        raise
