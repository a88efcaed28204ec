"""`codrun schema`."""

from __future__ import annotations

import typer

from cod_runner.plain_text import json_text
from cod_runner.recipe.schema import json_schema


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of a recipe, every plugin's options included, for editors."""
    typer.echo(json_text(json_schema(context.obj)))
