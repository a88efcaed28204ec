"""`codrun plan`."""

from __future__ import annotations

import typer

from cod_runner.cli.options import (
    AllowCallableOption,
    AllowFolderOption,
    AllowHostOption,
    AllowLocalPluginsOption,
    ArmsOption,
    JsonOption,
    KOption,
    MethodsOption,
    OutOption,
    ProfileOption,
    RecipeFile,
    SeedsOption,
    SetOption,
    StudentsOption,
    loaded_recipe,
)
from cod_runner.plain_text import json_text


def plan(
    context: typer.Context,
    recipe: RecipeFile,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    methods: MethodsOption = None,
    arms: ArmsOption = None,
    students: StudentsOption = None,
    out: OutOption = None,
    allow_host: AllowHostOption = None,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    allow_callable: AllowCallableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cells, what is done, what stays on the disk, model calls and their price, before anything is spent."""
    from cod_runner.permissions import read_permissions
    from cod_runner.plan import plan_of
    from cod_runner.terminal import Terminal

    permissions = read_permissions(
        allow_host or [], allow_folder or [], local_plugins=allow_local_plugins, callables=allow_callable or []
    )
    loaded = loaded_recipe(context, recipe, profile, overrides, k, seeds, methods, arms, permissions, students)
    with loaded.pointing():
        planned = plan_of(loaded, context.obj, out, permissions)
    if as_json:
        typer.echo(json_text(planned.as_json()))
    else:
        Terminal().print(planned)
