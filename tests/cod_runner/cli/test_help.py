"""Help shows every word that it was written with: Markdown takes ``<name>`` for a tag and drops it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from cod_runner.cli import call
from cod_runner.cli.program import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


COMMANDS = list(commands(get_command(app)))


def words(text: str) -> list[str]:
    """Without what Markdown is meant to take away, line ends and the frames of tables."""
    return re.sub(r"[│╭╮╰╯─]", " ", re.sub(r"`|\*\*", "", text)).split()


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) or "codrun" for path, _ in COMMANDS])
def test_no_word_of_help_is_eaten(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERMINAL_WIDTH", "400")
    assert call([*path, "--help"]) == 0
    shown = " ".join(words(capsys.readouterr().out))
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, texts):
        for paragraph in re.split(r"\n\n(?:- )?|\n- ", text):
            assert " ".join(words(paragraph)) in shown
