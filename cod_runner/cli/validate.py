"""`codrun validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import ProfileOption, SetOption, loaded_recipe
from cod_runner.errors import RecipeError


def validate(
    context: typer.Context,
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", show_default=False)],
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Check recipes with every plugin's options; needs no model, data or network."""
    faults: list[str] = []
    for recipe in recipes:
        try:
            loaded = loaded_recipe(context, recipe, profile, overrides)
        except RecipeError as error:
            faults.append(str(error))
            continue
        counts = f"{len(loaded.recipe.methods)} methods x {len(loaded.recipe.arms)} arms"
        typer.echo(f"{recipe}: valid ({counts} x k {loaded.recipe.k} x {len(loaded.recipe.seeds)} seeds)")
    if faults:
        raise RecipeError("\n".join(faults))
