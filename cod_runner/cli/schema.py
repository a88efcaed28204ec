"""`codrun schema`."""

from __future__ import annotations

import json

import typer

from cod_runner.recipe.schema import json_schema


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of a recipe, every plugin's options included, for editors."""
    typer.echo(json.dumps(json_schema(context.obj), indent=2, ensure_ascii=False))
