"""What a report reads: the lines of ``cells.jsonl`` and ``counterfactuals.jsonl``, ``run.json``, ``recipe.yaml``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.recipe.grammar import Arm, Recipe

LOWER_IS_BETTER = frozenset({"kl", "ece"})
"""Metrics whose smaller value is the better one; of every other metric the larger one is."""

_ARM: TypeAdapter[Arm] = TypeAdapter(Arm)


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of this metric is the better one."""
    return metric not in LOWER_IS_BETTER


@dataclass(frozen=True)
class CellRow:
    """One finished student: a line of ``cells.jsonl``."""

    key: str
    method: str
    arm: Arm
    k: int
    seed: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Every number of the line that no field below names: accuracy, agreement, kl, ece, f1, a plugin's own."""
    steps: int | None = None
    training_rows: int | None = None
    redrawn: int | None = None
    """Originals that had no verified counterfactual and were replaced by the next in order."""
    yield_: float | None = None
    """Pairs kept over originals tried, 0 to 1; ``yield`` in the file."""
    seconds: float | None = None
    precision: str | None = None
    device: str | None = None
    select: str | None = None
    """The recipe's ``evaluate.select``; ``best_reported`` makes the metrics optimistic."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the line holds, kept as it is."""

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> CellRow:
        """Read a line; raise :class:`CodrunError` where it lacks what names a cell."""
        try:
            key, method, arm = str(line["key"]), str(line["method"]), _ARM.validate_python(line["arm"])
            k, seed = int(line["k"]), int(line["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise CodrunError(f"a line of cells.jsonl names no cell (key, method, arm, k, seed): {error}") from error
        rest = {name: value for name, value in line.items() if name not in {"key", "method", "arm", "k", "seed"}}
        known = {name.rstrip("_"): name for name in _CELL_FIELDS}
        fields = {known[name]: rest.pop(name) for name in list(rest) if name in known}
        metrics = {name: float(rest.pop(name)) for name, value in list(rest.items()) if _is_metric(name, value)}
        return cls(key, method, arm, k, seed, metrics=metrics, extra=rest, **fields)

    def to_json(self) -> dict[str, Any]:
        """The flat line that ``from_json`` reads; what is None is left out."""
        named = {name.rstrip("_"): getattr(self, name) for name in _CELL_FIELDS}
        return {
            "key": self.key, "method": self.method, "arm": self.arm, "k": self.k, "seed": self.seed,
            **self.metrics,
            **{name: value for name, value in named.items() if value is not None},
            **self.extra,
        }  # fmt: skip

    @property
    def place(self) -> tuple[str, str, int, int]:
        """(method, arm, k, seed)."""
        return self.method, self.arm, self.k, self.seed


_CELL_FIELDS = ("steps", "training_rows", "redrawn", "yield_", "seconds", "precision", "device", "select")


def _is_metric(name: str, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and "seconds" not in name


class QualityRow(BaseModel):
    """One measure of the counterfactuals: over all of them and over those that flipped. None: not measured."""

    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)

    name: str
    all: float | str | None = None
    flipped: float | str | None = None


class RunRecord(BaseModel):
    """``run.json``: where, with what and at what cost a run ran. Keys that are not named here are kept."""

    model_config = ConfigDict(extra="allow", validate_assignment=True)

    recipe: str
    """The recipe's name."""
    profile: str | None = None
    command: str | None = None
    """The call that repeats the run."""
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    machine: dict[str, Any] = Field(default_factory=dict)
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    calls: int = 0
    """Model calls of generators."""
    tokens: int = 0
    cost: float | None = 0.0
    """US dollars; None where the price of a call is unknown."""
    teacher: dict[str, Any] = Field(default_factory=dict)
    """``accuracy`` on the evaluation split, and what else is known of the teacher."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Numbers of rows and the like, shown as they are."""
    notes: list[str] = Field(default_factory=list)
    """Sentences that the reader of the numbers must know: warnings, deviations."""
    optimistic: bool = False
    """The checkpoint was chosen on the reported split."""
    verified: bool = True
    """False where counterfactuals that the teacher did not confirm were trained on."""
    cell_keys: list[str] | None = None
    """The keys of the recipe's cells; lines of other keys are not tabled. None: every line is current."""
    quality: list[QualityRow] = Field(default_factory=list)

    def finished_now(self, seconds: float, ran: bool) -> None:
        """Note the end of a call; one that found everything done leaves the time of the run as it was."""
        if ran or self.finished is None:
            self.finished = datetime.now(UTC).isoformat(timespec="seconds")
            self.seconds = (self.seconds or 0.0) + seconds

    @property
    def teacher_accuracy(self) -> float | None:
        value = self.teacher.get("accuracy")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class RunFiles:
    """A run's folder as a report sees it."""

    folder: Path
    recipe: Recipe
    record: RunRecord
    rows: tuple[CellRow, ...]
    """Lines of the recipe as it stands; in the order of the file."""
    other_lines: int
    """Lines of cells that the recipe no longer has (an older learning rate, say)."""
    outcomes: tuple[Mapping[str, Any], ...]
    """Lines of ``counterfactuals.jsonl``."""


def read_rows(path: Path) -> list[CellRow]:
    """The last line of each key of ``cells.jsonl``; a line torn by a kill is passed over, a missing file is empty."""
    rows: dict[str, CellRow] = {}
    for line in json_lines(path):
        if isinstance(line.get("key"), str):
            rows.pop(line["key"], None)
            rows[line["key"]] = CellRow.from_json(line)
    return list(rows.values())


def current_rows(rows: Sequence[CellRow], keys: Collection[str] | None) -> tuple[list[CellRow], int]:
    """(rows whose key is among ``keys``, number of the others). Without keys: the last row of each place."""
    if keys is not None:
        current = [row for row in rows if row.key in set(keys)]
    else:
        current = list({row.place: row for row in rows}.values())
    return current, len(rows) - len(current)


def read_run(folder: Path) -> RunFiles:
    """Read a run's folder; raise :class:`CodrunError` that names the file at fault."""
    recipe = _read_recipe(folder / "recipe.yaml")
    record = _read_record(folder / "run.json", recipe)
    rows, others = current_rows(read_rows(folder / "cells.jsonl"), record.cell_keys)
    outcomes = tuple(json_lines(folder / "counterfactuals.jsonl"))
    return RunFiles(folder, recipe, record, tuple(rows), others, outcomes)


def _read_recipe(path: Path) -> Recipe:
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecipeError(f"{path.parent} is no run's folder: it has no recipe.yaml; name one like runs/NAME") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CodrunError(f"{path} cannot be read as YAML ({error}); run the recipe again to restore it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CodrunError(f"{path} is not a resolved recipe: `{where}`: {first['msg']}") from error


def _read_record(path: Path, recipe: Recipe) -> RunRecord:
    if not path.exists():
        return RunRecord(recipe=recipe.name, notes=["run.json is missing: the run has not ended yet, or was cut off."])
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CodrunError(f"{path} is not a run's record: {where}: {first['msg']}") from error


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line; a missing file has none."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue  # the line that a kill cut off, or an empty one
        if isinstance(line, dict):
            lines.append(line)
    return lines
