"""`codrun ledger`: every paid answer of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.cli.options import JsonOption
from cod_runner.errors import RecipeError
from cod_runner.plain_text import json_text, one_line

if TYPE_CHECKING:
    from cod_runner.llm.ledger import Ledger

ledger = typer.Typer(no_args_is_help=True, help="Every paid answer of a model: list, export, import.")


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """The store's ledger, which is not pruned meanwhile."""
    from cod_runner.llm.ledger import Ledger
    from cod_runner.store import Store

    store = Store()
    with store.in_use("`codrun ledger`"):
        found = Ledger.of_store(store.root)
        try:
            yield found
        finally:
            found.close()


@ledger.command("list")
def ledger_list(as_json: JsonOption = False) -> None:
    """List every answer: when, from which model, at what cost, about which text; `--json` shows everything."""
    from cod_runner.cli.answers import show_answers
    from cod_runner.terminal import Terminal

    with _ledger() as found:
        if as_json:
            typer.echo(json_text(list(found.rows())))
        else:
            show_answers(Terminal(), found.rows())


@ledger.command("export")
def ledger_export(path: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines; must not exist yet")]) -> None:
    """Write every answer to a file, so that a team or a paper can share its counterfactuals."""
    if path.exists():
        raise RecipeError(f"{path} exists; name another file, nothing is overwritten")
    with _ledger() as found:
        typer.echo(one_line(f"wrote {found.export(path)} answers to {path}"))


@ledger.command("import")
def ledger_import(path: Annotated[Path, typer.Argument(metavar="FILE", help="what `export` wrote")]) -> None:
    """Take answers from a file; those that are here already stay as they are."""
    with _ledger() as found:
        new_answers, known = found.import_(path)
    typer.echo(f"{new_answers} answers are new, {known} were here already")
