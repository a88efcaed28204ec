"""`codrun schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.plain_text import one_line

STANDARD_OUTPUT = Path("-")


def schema(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="write it into this file; `-`: print it", show_default=False),
    ] = STANDARD_OUTPUT,
) -> None:
    """The JSON Schema of a recipe, every installed plugin's options included, by which editors complete, explain and
    check.

    An editor with the YAML language server reads it where a recipe's first line names the file:

    `# yaml-language-server: $schema=recipe.schema.json`

    `codrun new recipe` writes both. `codrun validate` writes the file beside a recipe anew where plugins have changed.
    """
    from cod_runner.scaffold.schema_file import schema_text, write_schema

    if out == STANDARD_OUTPUT:
        typer.echo(schema_text(context.obj), nl=False)
        return
    changed = write_schema(out, context.obj)
    typer.echo(one_line(f"wrote {out}" if changed else f"{out} is up to date"))
