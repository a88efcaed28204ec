"""`codrun validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import AllowFolderOption, ProfileOption, SetOption, loaded_recipe
from cod_runner.errors import RecipeError
from cod_runner.permissions import read_permissions
from cod_runner.plain_text import one_line


def validate(
    context: typer.Context,
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", show_default=False)],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    allow_folder: AllowFolderOption = None,
) -> None:
    """Check recipes with every plugin's options; needs no model, data or network."""
    permissions = read_permissions(folders=allow_folder or [])
    faults: list[str] = []
    for recipe in recipes:
        try:
            loaded = loaded_recipe(context, recipe, profile, overrides, permissions=permissions)
        except RecipeError as error:
            faults.append(str(error))
            continue
        counts = f"{len(loaded.recipe.methods)} methods x {len(loaded.recipe.arms)} arms"
        told = f"{recipe}: valid ({counts} x k {loaded.recipe.k} x {len(loaded.recipe.seeds)} seeds)"
        typer.echo(one_line(told))
    if faults:
        raise RecipeError("\n".join(faults))
