"""What components know of options that a recipe leaves out and might want."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.errors import standing_at
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.sizes import shapes


def tips(recipe: Recipe, registry: Registry) -> Sequence[str]:
    """The student's, a sentence each, as :meth:`cod_runner.api.Options.tips` words them."""
    teacher, _ = shapes(recipe, registry)
    with standing_at("student"), registry.asked("student", recipe.student.use, recipe.student.options) as options:
        return options.tips(teacher)
