"""Recipes: the grammar, YAML with positions, overlays, and every fault at once."""

from cod_runner.recipe.loading import LoadedRecipe, load_recipe

__all__ = ["LoadedRecipe", "load_recipe"]
