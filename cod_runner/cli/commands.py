"""The commands, each imported when it is called or its help is shown, so that none pays for what another needs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import typer
from typer.main import get_command

MARKUP: Literal["markdown"] = "markdown"
"""In which help is written."""

COMMANDS = (
    "run",
    "validate",
    "plan",
    "cfes",
    "report",
    "compare",
    "pick",
    "bench",
    "predict",
    "export",
    "auto",
    "push",
    "plugins",
    "schema",
    "new",
    "ledger",
    "store",
)
"""In the order of help; each is the function, or the :class:`typer.Typer` of several, that a module beside this one has
under its own name."""


class Commands(Mapping[str, Any]):
    """Name to typer's command."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _command(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _command(name: str) -> Any:
    found = getattr(importlib.import_module(f"cod_runner.cli.{name}"), name)
    holder = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
        group: Any = get_command(holder)
        return group.commands[name]
    holder.command()(found)
    return get_command(holder)
