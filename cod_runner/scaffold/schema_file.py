"""The JSON Schema of recipes as a file, which editors find by a recipe's first line."""

from __future__ import annotations

import json
from pathlib import Path

from cod_runner.errors import CodrunError
from cod_runner.files import write_whole
from cod_runner.plain_text import json_text
from cod_runner.recipe.schema import WRITTEN_BY, json_schema
from cod_runner.registry import Registry

BESIDE = ".codrun/recipe.schema.json"
"""Relative to a recipe: one for all recipes of its folder."""
FIRST_LINE = f"# yaml-language-server: $schema={BESIDE}\n"
"""By it editors with the YAML language server (VS Code, Neovim, Helix, Emacs, ...) check and complete the recipe."""


def schema_text(registry: Registry) -> str:
    """The file's content, every installed plugin's options included."""
    return json_text(json_schema(registry)) + "\n"


def write_schema(path: Path, registry: Registry) -> bool:
    """Write the schema to ``path``, over an earlier one if need be; whether anything changed.

    Raises :class:`CodrunError` where a file of this name is not a schema that codrun wrote, or cannot be written.
    """
    there = _read(path)
    if there is not None and not _is_ours(there):
        raise CodrunError(f"{path} is not a schema that codrun wrote, so it is not overwritten; name another file")
    text = schema_text(registry)
    if there == text:
        return False
    write_whole(path, text)
    return True


def refresh_schema(folder: Path, registry: Registry) -> Path | None:
    """Write the schema of a folder of recipes anew where it is one of codrun's and plugins have changed; its path then.

    Does nothing where there is none, or where it cannot be written: it serves editors alone.
    """
    path = folder / BESIDE
    try:
        return path if path.is_file() and write_schema(path, registry) else None
    except CodrunError:
        return None


def _read(path: Path) -> str | None:
    """The file's text; None where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CodrunError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _is_ours(text: str) -> bool:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(schema, dict) and str(schema.get("$comment", "")).startswith(WRITTEN_BY)
