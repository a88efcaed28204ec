"""`codrun store`: what is worth keeping between runs."""

from __future__ import annotations

from typing import Annotated

import typer

from cod_runner.store import Store

store = typer.Typer(no_args_is_help=True, help="What is stored between runs: teachers, signals, pairs, model answers.")


@store.command("list")
def store_list() -> None:
    """List what is stored between runs, and its size."""
    stored = Store()
    typer.echo(str(stored.root))
    for entry in stored.entries():
        typer.echo(f"  {entry.bytes / 1e6:10,.1f} MB  {entry.name}")


@store.command("prune")
def store_prune(
    name: Annotated[str, typer.Argument(help="an entry as `codrun store list` names it")],
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
) -> None:
    """Delete one entry of the store; model answers that were paid for go with `llm.sqlite`."""
    stored = Store()
    if not yes:
        typer.confirm(f"delete {name} from {stored.root}?", abort=True)
    typer.echo(f"freed {stored.prune(name) / 1e6:,.1f} MB")
