"""The page of all commands: what ``--help`` says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

from typer.main import get_command

from cod_runner.cli import call
from cod_runner.cli.program import app
from cod_runner.environment import environment_variables
from making.text import code

PLAIN_TERMINAL = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}


def commands_page() -> str:
    """``codrun --help`` and that of every command, as a terminal shows them."""
    parts = ["# Commands\n", code(_help())]
    for words in _commands(get_command(app)):
        parts += [f"## codrun {' '.join(words)}\n", code(_help(*words))]
    return "\n".join(parts)


def _commands(of: Any, *above: str) -> Iterator[tuple[str, ...]]:
    for name, command in of.commands.items():
        within = (*above, name)
        if hasattr(command, "commands"):
            yield from _commands(command, *within)
        else:
            yield within


def _help(*words: str) -> str:
    said = io.StringIO()
    with environment_variables(PLAIN_TERMINAL), redirect_stdout(said):
        call([*words, "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines())
