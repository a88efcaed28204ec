"""What a recipe cannot ask of a teacher that only answers: found before anything is built, read or paid for."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Answering, ModelShape
from cod_runner.errors import CodrunError, SettingError
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.nodes import Place
from cod_runner.registry import Registry

STAND_IN = ModelShape(layers=200, width=0, classes=0)
"""For a model whose size is unknown: deep enough for any layer that a recipe names, and of a width that any number of
heads divides, to see whether a loss reads some layer."""


def answering_of(recipe: Recipe, registry: Registry) -> Answering | None:
    """What is known of the recipe's teacher, where it only answers."""
    with registry.asked("teacher", recipe.teacher.use, recipe.teacher.options) as options:
        return options.answering()


def check_answering(recipe: Recipe, registry: Registry) -> Iterator[tuple[Place, str]]:
    """Each fault, with the place of what is to be changed."""
    name = recipe.teacher.use
    try:
        answering = answering_of(recipe, registry)
    except SettingError as error:
        yield ("teacher", *error.setting), str(error)
        return
    if answering is None:
        if recipe.teacher.calibration is not None:
            yield (
                ("teacher", "calibration"),
                f"calibrates a teacher that only answers, and `{name}` is a network; remove it",
            )
        return
    if recipe.teacher.finetune is not None:
        yield ("teacher", "finetune"), f"the teacher `{name}` only answers, so it cannot be fine-tuned; remove it"
    if recipe.teacher.processes > 1 and _calls_another(recipe, registry):
        yield (
            ("teacher", "processes"),
            f"the teacher `{name}` computes on another machine, which several processes would ask no faster; remove it",
        )
    if registry.options("student", recipe.student.use, recipe.student.options).from_teacher():
        yield ("student",), f"a student cannot be cut from the teacher `{name}`, which only answers; name its `model`"
    if not answering.hidden_states:
        yield from _hidden_states(recipe, registry)
    yield from _generators(recipe, registry, answering)


def _calls_another(recipe: Recipe, registry: Registry) -> bool:
    """Whether the teacher is reached by calls, which one process has under way at once."""
    with registry.asked("teacher", recipe.teacher.use, recipe.teacher.options) as options:
        return options.estimate(1, 100.0) is not None


def _hidden_states(recipe: Recipe, registry: Registry) -> Iterator[tuple[Place, str]]:
    for method, terms in recipe.methods.items():
        for index, term in enumerate(terms):
            try:
                needs = registry.options("loss", term.use, term.options).needs(STAND_IN, STAND_IN)
            except CodrunError:
                continue  # said where the two models are known
            if needs.teacher:
                yield (
                    ("methods", method, index),
                    f"the loss `{term.use}` reads the teacher's hidden states, and the teacher `{recipe.teacher.use}` "
                    "only answers; remove it, or take a teacher that is opened",
                )


def _generators(recipe: Recipe, registry: Registry, answering: Answering) -> Iterator[tuple[Place, str]]:
    for place, kind, use in recipe.generators():
        options = registry.options(kind, use.use, use.options)
        if options.asks_for_gradients():
            yield (
                place,
                f"the generator `{use.use}` steps along the teacher's gradient, and the teacher "
                f"`{recipe.teacher.use}` only answers; take another generator",
            )
        elif options.asks_for_attribution() and not answering.leave_one_out:
            hint = f"{answering.leave_one_out_hint}, or " if answering.leave_one_out_hint else ""
            yield (
                place,
                f"the generator `{use.use}` wants to know which words weigh most with the teacher, and asking "
                f"`{recipe.teacher.use}` about each text less each of its words is a paid call for every word; {hint}"
                "take another generator",
            )
