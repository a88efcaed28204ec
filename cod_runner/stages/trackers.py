"""The trackers that a recipe names, observing its run, in the main process and in each worker."""

from __future__ import annotations

from cod_runner.api import BuildContext
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry


def attach_trackers(recipe: Recipe, registry: Registry) -> None:
    """Build each tracker of the recipe and let it observe the run."""
    for use in recipe.trackers:
        registry.attach(use.use, registry.build("tracker", use.use, use.options, BuildContext()))
