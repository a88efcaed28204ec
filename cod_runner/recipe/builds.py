"""Whether the components of a checked recipe can be built at all: a fault at the name of each that cannot."""

from __future__ import annotations

from cod_runner.errors import RecipeError
from cod_runner.recipe.loading import LoadedRecipe
from cod_runner.recipe.nodes import text_of
from cod_runner.recipe.validation import components_of
from cod_runner.registry import Registry


def refuse_unbuildable(loaded: LoadedRecipe, registry: Registry) -> None:
    """Raise :class:`RecipeError` where the module or attribute that builds a component is not there; imports none."""
    faults = []
    for _, kind, node in components_of(loaded.tree):
        use = node.get("use")
        assert use is not None  # the recipe was checked
        reason = registry.unresolved(registry.find(kind, str(text_of(use))))
        if reason is not None:
            faults.append(use.mark.fault(reason))
    if faults:
        raise RecipeError.of(faults)
