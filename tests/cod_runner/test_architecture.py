"""Imports run one way, the core imports no plugin, and a plugin imports nothing of the core but its contracts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "cod_runner"
FILES = sorted(CORE.rglob("*.py"))
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))

BELOW = {
    "engine": {"api", "errors", "engine"},
    "counterfactuals": {"api", "errors", "store", "recipe", "word_diff", "counterfactuals"},
    "report": {"api", "errors", "store", "recipe", "word_diff", "report"},
    "recipe": {"api", "errors", "registry", "recipe"},
}
"""What the modules of a package may import of the core."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_plugin_and_nothing_above_it(path: Path) -> None:
    names = list(imported(path))
    assert not [name for name in names if name.startswith("codrun_")]
    package = path.relative_to(CORE).parts[0]
    if package in BELOW:
        core = {name.split(".")[1] for name in names if name.startswith("cod_runner.")}
        assert core <= BELOW[package]


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_a_plugin_sees_the_contracts_alone(path: Path) -> None:
    core = {name for name in imported(path) if name.split(".")[0] == "cod_runner"}
    assert core <= {"cod_runner.api"}


def test_every_plugin_is_shipped() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for folder in sorted((ROOT / "plugins").iterdir()):
        if (folder / "plugin.py").exists():
            assert f'"plugins/{folder.name}"' in text
            assert f'"{folder.name}.plugin"' in text
