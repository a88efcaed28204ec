"""Which recipes a revision has."""

from __future__ import annotations

import re
from pathlib import Path

_RECIPE = re.compile(r"""^(?:\{[ \t]*)?["']?(?:recipe|extends)["']?[ \t]*:(?:\s|$)""", re.MULTILINE)
"""A key of the outermost mapping that every recipe has one of; other YAML files (workflows, say) are passed over."""


def recipes_in(tree: Path, place: Path) -> list[Path]:
    """The recipes at a place of a tree, relative to the tree: a file itself, of a folder all below it.

    In a folder those count that are YAML and have the key ``recipe`` or ``extends``; names that begin with ``_`` or
    ``.`` are fragments, or hidden, and what a run wrote into its own folder does not count. A place that is not there
    has none.
    """
    found = tree / place
    if found.is_file():
        return [place]
    files = sorted(path for path in found.rglob("*") if path.suffix in (".yaml", ".yml"))
    return [path.relative_to(tree) for path in files if _is_recipe(path, path.relative_to(found))]


def _is_recipe(path: Path, inside: Path) -> bool:
    if path.name.startswith("_") or any(part.startswith(".") for part in inside.parts) or not path.is_file():
        return False
    if path.name == "recipe.yaml" and path.with_name("run.json").exists():
        return False
    try:
        return _RECIPE.search(path.read_text(encoding="utf-8")) is not None
    except (OSError, UnicodeDecodeError):
        return False
