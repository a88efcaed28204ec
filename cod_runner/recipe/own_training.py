"""What a recipe cannot ask of a student that trains itself: found before anything is built or read."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.nodes import Place
from cod_runner.registry import Registry


def trains_itself(recipe: Recipe, registry: Registry) -> bool:
    """Whether the recipe's student does."""
    return registry.options("student", recipe.student.use, recipe.student.options).trains_itself()


def check_own_training(recipe: Recipe, registry: Registry) -> Iterator[tuple[Place, str]]:
    """Each fault, with the place of what is to be changed."""
    if not trains_itself(recipe, registry):
        return
    name = recipe.student.use
    for method, terms in recipe.methods.items():
        for index, term in enumerate(terms):
            if not registry.options("loss", term.use, term.options).reads_labels_alone():
                yield (
                    ("methods", method, index),
                    f"the student `{name}` trains itself on labels alone, so the loss `{term.use}` would not be used; "
                    "remove it, or take one that reads labels alone",
                )
    for arm, settings in recipe.arms.items():
        if settings.unlabelled is not None:
            yield (
                ("arms", arm, "unlabelled"),
                f"the student `{name}` trains itself on labels alone, so texts without one would not be used; remove "
                "the arm",
            )
    if recipe.evaluate.select != "last":
        yield (
            ("evaluate", "select"),
            f"the student `{name}` trains itself, so no epoch of it can be chosen; remove it",
        )
