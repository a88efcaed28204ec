"""`codrun plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

from cod_runner.cli.options import JsonOption
from cod_runner.plain_text import json_text


def plugins(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="one plugin or component, with its options")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="build NAME, or each component of NAME.py, and try its contract on toy data")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="with --check: an option; the value is YAML; may be repeated"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is installed and from where, or check that a component keeps its kind's contract."""
    from cod_runner.terminal import Terminal

    if check:
        from cod_runner.cli.checking import check_plugins, checks_json, raise_if_wrong, show_checks

        if name is None:
            raise typer.BadParameter("--check needs the NAME of a plugin, of a component or of a file")
        checked = check_plugins(context.obj, name, settings or [])
        if as_json:
            typer.echo(json_text(checks_json(checked)))
        else:
            show_checks(Terminal(soft_wrap=True), checked)
        raise_if_wrong(checked)
        return
    if settings:
        raise typer.BadParameter("--set goes with --check")
    from cod_runner.cli.listing import plugins_json, show_plugins

    if as_json:
        typer.echo(json_text(plugins_json(context.obj, name)))
    else:
        show_plugins(Terminal(), context.obj, name)
