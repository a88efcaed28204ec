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
from cod_runner.runs.failed import not_numbers
from cod_runner.runs.records import CellRow, RunRecord

RESTORE = "run the recipe again to restore it"
DELETE_RECORD = "delete it and run the recipe again: only what the run has cost so far is lost with it"
LONGEST_WORD = 12
"""Bytes by which a fault may stand before the end of a line that was cut off: in a number, an escape, ``false``."""


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

    A line cut off by a kill is skipped, and a key whose last line has a metric that is infinite or NaN, as earlier
    versions wrote it: its cell is not finished. A missing file has no rows. Raises :class:`CodrunError` that names the
    line.
    """
    return rows_of(path, numbered_lines(path), metrics)


def rows_of(path: Path, lines: Sequence[tuple[int, Mapping[str, Any]]], metrics: Collection[str]) -> list[CellRow]:
    """:func:`read_rows` of lines that were read from ``path``."""
    rows: dict[str, CellRow] = {}
    for number, line in lines:
        try:
            row = CellRow.from_json(line, metrics)
        except CodrunError as error:
            raise CodrunError(f"{path}:{number}: {error}; delete the line: its cell is then run again") from error
        rows.pop(row.key, None)
        if not not_numbers(row.metrics, row.metrics):
            rows[row.key] = row
    return list(rows.values())


def current_rows(rows: Sequence[CellRow], keys: Collection[str] | None) -> tuple[list[CellRow], int]:
    """(rows whose key is among ``keys``, number of the others); without keys, the last row per method, arm, k, seed."""
    if keys is not None:
        wanted = set(keys)
        current = [row for row in rows if row.key in wanted]
    else:
        current = list({row.place: row for row in rows}.values())
    return current, len(rows) - len(current)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Every complete line, as :func:`numbered_lines` reads it."""
    return [line for _, line in numbered_lines(path)]


def numbered_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Every complete line and its number, from 1; a missing file has none.

    What a kill cut off, at the end or before a later line, is skipped. Raises :class:`CodrunError` that names a line
    that is damaged otherwise.
    """
    try:
        pieces = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CodrunError(
            f"{path} cannot be read ({error.strerror}); mend its permissions, or move it away and run the recipe again"
        ) from error
    lines = []
    for number, piece in enumerate(pieces, start=1):
        if not piece.strip():
            continue
        try:
            line = json.loads(piece.decode())
            if not isinstance(line, dict):
                raise ValueError("it is not a mapping")
        except (ValueError, RecursionError) as error:
            if number == len(pieces) or is_cut_off(piece):
                continue
            raise CodrunError(
                f"{path}:{number}: the line is damaged ({_why(error)}); delete it, or restore the file from a copy, "
                "and run the recipe again: only what is missing is repeated"
            ) from error
        lines.append((number, line))
    return lines


def is_whole(line: bytes) -> bool:
    """Whether this is a JSON mapping."""
    try:
        return isinstance(json.loads(line.decode()), dict)
    except (ValueError, RecursionError):
        return False


def is_cut_off(line: bytes) -> bool:
    """Whether this is the beginning of a JSON mapping and no whole one."""
    text = line.decode("utf-8", "ignore")
    if not text.startswith("{") or text.endswith("}"):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated") or error.pos >= len(text) - LONGEST_WORD
    except (ValueError, RecursionError):
        return False
    return False


def _why(error: Exception) -> str:
    """Few words, whatever the line holds."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8"
    return str(error).partition(";")[0]


def _read_recipe(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise RecipeError(
            f"{path.parent} is not a run's folder: it has no recipe.yaml; name one like runs/NAME"
        ) from None
    except ValidationError as error:
        where, why = _first(error)
        raise CodrunError(f"{path} is not a resolved recipe: `{where}`: {why}; {RESTORE}") from error
    except OSError as error:
        raise CodrunError(f"{path} cannot be read ({error.strerror}); {RESTORE}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise CodrunError(f"{path} cannot be read as YAML ({why}); {RESTORE}") from error


def _read_record(path: Path, recipe: Recipe) -> RunRecord:
    found = read_record_file(path)
    if found is None:
        return RunRecord(recipe=recipe.name, notes=["run.json is missing: the run has not ended or was interrupted."])
    return checked_record(path, found)


def read_record_file(path: Path) -> dict[str, Any] | None:
    """What ``run.json`` holds, unchecked; None if there is none. Raises :class:`CodrunError` that names the file."""
    try:
        found = json.loads(path.read_bytes().decode())
        if not isinstance(found, dict):
            raise ValueError("it is not a mapping")
        return found
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CodrunError(f"{path} cannot be read ({error.strerror}); {DELETE_RECORD}") from error
    except (ValueError, RecursionError) as error:
        raise CodrunError(f"{path} is damaged ({_why(error)}); {DELETE_RECORD}") from error


def checked_record(path: Path, found: Mapping[str, Any]) -> RunRecord:
    """The record that these values are; raises :class:`CodrunError` that names ``path``, from which they are."""
    try:
        return RunRecord.model_validate(found)
    except ValidationError as error:
        where, why = _first(error)
        raise CodrunError(f"{path} is not a run's record: {where or 'the file'}: {why}; {DELETE_RECORD}") from error


def _first(error: ValidationError) -> tuple[str, str]:
    """Where its first fault is, and what it is."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]
