"""What a student would gain by an option that the recipe leaves out."""

from __future__ import annotations

from cod_runner.errors import standing_at
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.sizes import shapes


def student_tip(recipe: Recipe, registry: Registry) -> str:
    """As :meth:`cod_runner.api.Options.tip` words it, with the word before it; "" where there is none."""
    teacher, _ = shapes(recipe, registry)
    with standing_at("student"), registry.asked("student", recipe.student.use, recipe.student.options) as options:
        tip = options.tip(teacher)
    return f"tip: {tip}" if tip else ""
