"""`codrun validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import AllowFolderOption, AllowLocalPluginsOption, ProfileOption, SetOption, loaded_recipe
from cod_runner.errors import Fault, RecipeError
from cod_runner.plain_text import one_line


def validate(
    context: typer.Context,
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", show_default=False)],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
) -> None:
    """Check recipes with every plugin's options; needs no model, data or network.

    Fragments (`_NAME.yaml`) among them are passed over: each is checked as part of the recipes that extend it. The
    schema for editors beside a recipe, if there is one, is brought up to date.
    """
    from cod_runner.permissions import read_permissions
    from cod_runner.scaffold.schema_file import refresh_schema

    permissions = read_permissions(folders=allow_folder or [], local_plugins=allow_local_plugins)
    told: list[str] = []
    faults: list[Fault] = []
    fragments = [recipe for recipe in recipes if recipe.name.startswith("_") and recipe.is_file()]
    passed_over = fragments if len(fragments) < len(recipes) else []  # alone, it is said what they are
    for recipe in recipes:
        if recipe in passed_over:
            typer.echo(one_line(f"{recipe}: passed over, a fragment (its name begins with `_`)"))
            continue
        try:
            loaded = loaded_recipe(context, recipe, profile, overrides, permissions=permissions)
        except RecipeError as error:
            told.append(str(error) if error.faults else one_line(str(error)))
            faults += error.faults
            continue
        counts = f"{len(loaded.recipe.methods)} methods x {len(loaded.recipe.arms)} arms"
        valid = f"{recipe}: valid ({counts} x k {loaded.recipe.k} x {len(loaded.recipe.seeds)} seeds)"
        typer.echo(one_line(valid))
    for folder in dict.fromkeys(recipe.parent for recipe in recipes):
        if (renewed := refresh_schema(folder, context.obj)) is not None:
            typer.echo(one_line(f"{renewed}: brought up to date with the installed plugins, for editors"))
    if told:
        raise RecipeError("\n".join(told), faults)
