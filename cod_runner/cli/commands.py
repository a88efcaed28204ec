"""The commands, each imported when it is called or its help is shown, so that none pays for what another needs."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import typer
from typer.main import get_command

from cod_runner.errors import RecipeError

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


def refuse_what_is_no_recipe(word: str) -> None:
    """Raises :class:`RecipeError` where the first word of a call is neither a command nor could be a recipe: a command
    that is misspelt, a file of data."""
    from cod_runner.scaffold.defaults import DATASETS

    path = Path(word)
    if path.suffix.lower() in DATASETS:
        raise RecipeError(
            f"{word} holds data, not a recipe: `codrun auto {word}` makes a classifier of it, "
            f"`codrun new recipe {word}` a recipe"
        )
    if word.startswith("-") or path.suffix or len(path.parts) != 1 or path.exists():
        return
    near = [f"{word}.yaml"] if path.with_suffix(".yaml").exists() else difflib.get_close_matches(word, COMMANDS, 1)
    hint = f"did you mean `{near[0]}`?" if near else "`codrun --help` lists the commands"
    raise RecipeError(f"no command and no recipe is called `{word}`; {hint}")
