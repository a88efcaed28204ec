"""What pytest calls: options, and each file that it meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codrun.chosen import How, how_chosen
from pytest_codrun.options import add_options

SUFFIXES = (".yaml", ".yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the settings of the ini file."""
    add_options(parser)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A recipe's collector, where the file is a recipe and somebody asked for it; nothing else is even opened."""
    if file_path.suffix not in SUFFIXES or file_path.name.startswith("_"):
        return None
    how = how_chosen(file_path, parent.config)
    if how is None:
        return None

    from pytest_codrun.recognition import is_copy, recognised

    seen = recognised(file_path, parent.config.getoption("codrun_profile") or parent.config.getini("codrun_profile"))
    if seen is None or (how is How.FOLDER and (not seen.is_test or is_copy(file_path))):
        return None

    from pytest_codrun.collection import RecipeFile

    file: RecipeFile = RecipeFile.from_parent(parent, path=file_path)
    return file
