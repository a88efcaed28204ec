"""Whether the user asked for the recipes of a place: pytest meets many files that are other people's."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

import pytest


class How(Enum):
    """How a file was asked for."""

    FILE = "by its own name"
    FOLDER = "by a folder's"


def how_chosen(path: Path, config: pytest.Config) -> How | None:
    """How the command line or the ini file names this file; None where neither does.

    ``testpaths`` and the folder in which pytest is called name none: tests lie there, and recipes that are data.
    """
    named = _named(config)
    if path in named:
        return How.FILE
    folders = [*named, *map(Path, config.getini("codrun_recipes"))]
    below = config.getoption("codrun") or any(path.is_relative_to(folder) for folder in folders)
    return How.FOLDER if below else None


def _named(config: pytest.Config) -> set[Path]:
    """The files and folders among the command line's arguments; absolute."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return set()
    start = config.invocation_params.dir
    return {Path(os.path.normpath(start / argument.split("::", 1)[0])) for argument in config.args}
