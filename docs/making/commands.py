"""The page of all commands: what ``--help`` says."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from typer.main import get_command

from cod_runner.cli import call
from cod_runner.cli.program import app
from making.text import code

WIDTH = "100"


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
    with _plain_terminal(), redirect_stdout(said):
        call([*words, "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines())


@contextmanager
def _plain_terminal() -> Iterator[None]:
    wanted = {"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
