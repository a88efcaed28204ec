"""The trackers that a recipe names, observing its run, in the main process and in each worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cod_runner.api import BuildContext
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry


def attach_trackers(
    recipe: Recipe, registry: Registry, run: Path, say: Callable[[str], None] = lambda sentence: None
) -> None:
    """Build each tracker of the recipe and let it observe the run in the folder ``run``; ``say`` takes what it has to
    tell."""
    context = BuildContext(run=run, say=say)
    for use in recipe.trackers:
        registry.attach(use.use, registry.build("tracker", use.use, use.options, context))
