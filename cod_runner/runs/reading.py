"""Reads a run's folder: ``recipe.yaml``, ``run.json``, the lines of ``cells.jsonl`` and ``counterfactuals.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.declared import complete
from cod_runner.runs.records import CellRow, RunRecord


@dataclass(frozen=True)
class RunFiles:
    """A run's folder as a report sees it."""

    folder: Path
    recipe: Recipe
    record: RunRecord
    rows: tuple[CellRow, ...]
    """Lines of the recipe's present cells, in the order of the file."""
    other_lines: int
    """Number of lines of cells that the recipe no longer has (an older learning rate, say)."""
    outcomes: tuple[Mapping[str, Any], ...]
    """Lines of ``counterfactuals.jsonl``."""


def read_run(folder: Path, registry: Registry) -> RunFiles:
    """Read a run's folder; raise :class:`CodrunError` that names the file at fault.

    The registry supplies only what an older ``run.json`` lacks; no plugin needs to be installed.
    """
    recipe = _read_recipe(folder / "recipe.yaml")
    record = complete(_read_record(folder / "run.json", recipe), recipe, registry)
    rows, others = current_rows(read_rows(folder / "cells.jsonl", record.metric_names), record.cell_keys)
    outcomes = tuple(json_lines(folder / "counterfactuals.jsonl"))
    return RunFiles(folder, recipe, record, tuple(rows), others, outcomes)


def read_rows(path: Path, metrics: Collection[str]) -> list[CellRow]:
    """The last line per key of ``cells.jsonl``; ``metrics`` are the names of the recipe's metrics.

    A line cut off by a kill is skipped; a missing file has no rows.
    """
    rows: dict[str, CellRow] = {}
    for line in json_lines(path):
        if isinstance(line.get("key"), str):
            rows.pop(line["key"], None)
            rows[line["key"]] = CellRow.from_json(line, metrics)
    return list(rows.values())


def current_rows(rows: Sequence[CellRow], keys: Collection[str] | None) -> tuple[list[CellRow], int]:
    """(rows whose key is among ``keys``, number of the others); without keys, the last row per method, arm, k, seed."""
    if keys is not None:
        current = [row for row in rows if row.key in set(keys)]
    else:
        current = list({row.place: row for row in rows}.values())
    return current, len(rows) - len(current)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Every complete line; a missing file has none."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue  # cut off by a kill, or empty
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _read_recipe(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecipeError(
            f"{path.parent} is not a run's folder: it has no recipe.yaml; name one like runs/NAME"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CodrunError(f"{path} cannot be read as YAML ({error}); run the recipe again to restore it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CodrunError(f"{path} is not a resolved recipe: `{where}`: {first['msg']}") from error


def _read_record(path: Path, recipe: Recipe) -> RunRecord:
    if not path.exists():
        return RunRecord(recipe=recipe.name, notes=["run.json is missing: the run has not ended or was interrupted."])
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CodrunError(f"{path} is not a run's record: {where}: {first['msg']}") from error
