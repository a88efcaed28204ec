"""Cells: one student each (method x arm x k x seed), and the key that hashes everything that decides its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.identity import arm_identity, component_identity, teacher_identity
from cod_runner.runs.records import cell_name
from cod_runner.store import content_key

ENGINE_VERSION = 1
"""Raised when the core's own results change, so that older cells are run again."""


class TrainingSetKey(NamedTuple):
    """What decides a training set of a run: methods share it."""

    arm: str
    k: int
    seed: int


@dataclass(frozen=True)
class Cell:
    """One student to be trained."""

    method: str
    arm: str
    k: int
    seed: int
    key: str

    @property
    def setting(self) -> tuple[str, str, int]:
        """(method, arm, k): what its seeds share."""
        return self.method, self.arm, self.k

    @property
    def training_set(self) -> TrainingSetKey:
        """Which training set it trains on."""
        return TrainingSetKey(self.arm, self.k, self.seed)

    @property
    def name(self) -> str:
        """The name of its folder under ``students/``."""
        return cell_name(self.method, self.arm, self.k, self.seed)


def settings_key(recipe: Recipe, registry: Registry) -> str:
    """Hash of what decides all cells of a recipe alike: data, teacher, student, training, evaluation."""
    shared = {
        "engine": ENGINE_VERSION,
        "dataset": component_identity(registry, "dataset", recipe.dataset),
        "teacher": teacher_identity(recipe, registry),
        "student": component_identity(registry, "student", recipe.student),
        "train": recipe.train.model_dump(mode="json"),
        "evaluate": {
            "split": recipe.evaluate.split,
            **({} if recipe.evaluate.rows is None else {"rows": recipe.evaluate.rows}),
            **({} if recipe.evaluate.folds is None else {"folds": recipe.evaluate.folds}),
            "select": recipe.evaluate.select,
            "metrics": [component_identity(registry, "metric", metric) for metric in recipe.evaluate.metrics],
        },
    }
    return content_key(shared)


def cells_of(recipe: Recipe, registry: Registry) -> list[Cell]:
    """Every cell of a recipe, by k and then by seed, so that a first comparison is complete early."""
    shared_key = settings_key(recipe, registry)
    losses = {
        method: [[component_identity(registry, "loss", loss), loss.weight] for loss in terms]
        for method, terms in recipe.methods.items()
    }
    arms = {name: arm_identity(recipe, registry, name) for name in recipe.arms}

    def key(method: str, arm: str, k: int, seed: int) -> str:
        decided = {"shared": shared_key, "method": [method, losses[method]], "arm": arm, "k": k, "seed": seed}
        return content_key({**decided, **arms[arm]})

    return [
        Cell(method, arm, k, seed, key(method, arm, k, seed))
        for k in sorted(recipe.k)
        for seed in recipe.seeds
        for method in recipe.methods
        for arm in recipe.arms
    ]


@dataclass(frozen=True)
class Part:
    """Cells that share data and teacher: all of a run, or those of one fold."""

    fold: int | None
    """None where the data is not divided into folds."""
    cells: Sequence[Cell]
    waiting: Sequence[Cell]
    """Those that are not finished."""
    again: bool = False
    """Whether those that wait are finished, and only their students are gone."""

    def without(self, left_out: Callable[[Cell], bool]) -> Part:
        """The part with fewer cells that wait."""
        return replace(self, waiting=[cell for cell in self.waiting if not left_out(cell)])


def parts_of(recipe: Recipe, cells: Sequence[Cell], waiting: Sequence[Cell], *, again: bool = False) -> list[Part]:
    """The parts that have a waiting cell, by fold."""
    fold_of = recipe.evaluate.fold_of
    folds = sorted({fold_of(cell.seed) for cell in waiting}, key=lambda fold: -1 if fold is None else fold)
    return [
        Part(
            fold,
            [cell for cell in cells if fold_of(cell.seed) == fold],
            [cell for cell in waiting if fold_of(cell.seed) == fold],
            again,
        )
        for fold in folds
    ]
