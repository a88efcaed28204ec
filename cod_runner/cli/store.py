"""`codrun store`: what is worth keeping between runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cod_runner.plain_text import visible
from cod_runner.store import Store, StoreEntry

store = typer.Typer(no_args_is_help=True, help="What is stored between runs: teachers, signals, pairs, model answers.")


LISTED = 20
"""Of one entry's files; more than so many are counted by folder."""


@store.command("list")
def store_list() -> None:
    """List what is stored between runs, and its size."""
    stored = Store()
    typer.echo(visible(str(stored.root)))
    for entry in stored.entries():
        typer.echo(f"  {entry.bytes / 1e6:10,.1f} MB  {visible(entry.name)}")
    others = stored.others() if stored.root.exists() else []
    if others:
        named = ", ".join(map(visible, others[:LISTED])) + (", ..." if len(others) > LISTED else "")
        typer.echo(f"not codrun's, never pruned: {named}")


@store.command("prune")
def store_prune(
    name: Annotated[str, typer.Argument(help="an entry as `codrun store list` names it")],
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
) -> None:
    """Delete one entry of the store, every file of which is listed first; paid model answers go with `llm.sqlite`."""
    stored = Store()
    typer.echo(f"from {visible(str(stored.root))}:")
    for line in _listed(stored.entry(name), stored.root):
        typer.echo(f"  {visible(line)}")
    if not yes:
        typer.confirm(f"delete {name}?", abort=True)
    typer.echo(f"freed {stored.prune(name) / 1e6:,.1f} MB")


def _listed(entry: StoreEntry, root: Path) -> Iterator[str]:
    """Every file of an entry; where there are many, those of one folder of the store in one line."""
    files = [path.relative_to(root).as_posix() for path in entry.files]
    if len(files) <= LISTED:
        yield from files
        return
    for place, number in Counter("/".join(name.split("/")[:2]) for name in files).items():
        yield place if place in files else f"{place}/ ({number:,} files)"
