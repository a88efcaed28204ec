"""`codrun plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

from cod_runner.cli.options import JsonOption
from cod_runner.plain_text import json_text
from cod_runner.terminal import Terminal


def plugins(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="one plugin or component, with its options")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is installed and from where."""
    from cod_runner.cli.listing import plugins_json, show_plugins

    if as_json:
        typer.echo(json_text(plugins_json(context.obj, name)))
    else:
        show_plugins(Terminal(), context.obj, name)
