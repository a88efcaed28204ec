"""A question whose answer decides whether a command goes on."""

from __future__ import annotations

import sys

import typer

from cod_runner.errors import RecipeError


def agreed(question: str) -> bool:
    """Ask ``question`` on the terminal. Ctrl-C interrupts the command; where the input ends without an answer, as in a
    script, :class:`RecipeError` says which flag answers."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        typer.echo()
        raise RecipeError(f"nobody answered `{question}`; add --yes where there is nobody to ask") from None
