"""`codrun plugins`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from cod_runner.cli.options import JsonOption


def plugins(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="one plugin or component, with its options")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is installed and from where."""
    from cod_runner.cli.listing import plugins_json, show_plugins

    if as_json:
        typer.echo(json.dumps(plugins_json(context.obj, name), indent=2, ensure_ascii=False))
    else:
        show_plugins(Console(), context.obj, name)
