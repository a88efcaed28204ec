"""Cells: one student each (method x arm x k x seed), and the key that hashes everything that decides its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cod_runner.api import Kind
from cod_runner.machine import finetuning_threads
from cod_runner.recipe.grammar import Arm, Recipe, Use
from cod_runner.registry import Registry
from cod_runner.store import content_key

ENGINE_VERSION = 1
"""Raised when the core's own results change, so that older cells are run again."""


@dataclass(frozen=True)
class Cell:
    """One student to be trained."""

    method: str
    arm: Arm
    k: int
    seed: int
    key: str

    @property
    def training_set(self) -> tuple[Arm, int, int]:
        """(arm, k, seed): what decides the training set, which all methods share."""
        return self.arm, self.k, self.seed

    @property
    def name(self) -> str:
        """The name of its folder under ``students/``."""
        return f"{self.method}-{self.arm}-k{self.k}-s{self.seed}"


def cells_of(recipe: Recipe, registry: Registry) -> list[Cell]:
    """Every cell of a recipe, by k and then by seed, so that a first comparison is complete early."""
    shared = {
        "engine": ENGINE_VERSION,
        "dataset": _identity(registry, "dataset", recipe.dataset),
        "teacher": teacher_identity(recipe, registry),
        "student": _identity(registry, "student", recipe.student),
        "train": recipe.train.model_dump(mode="json"),
        "evaluate": {
            "split": recipe.evaluate.split,
            "select": recipe.evaluate.select,
            "metrics": [_identity(registry, "metric", metric) for metric in recipe.evaluate.metrics],
        },
    }
    shared_key = content_key(shared)
    losses = {
        method: [[_identity(registry, "loss", loss), loss.weight] for loss in terms]
        for method, terms in recipe.methods.items()
    }
    search, copies = counterfactual_identity(recipe, registry), control_identity(recipe, registry)

    def key(method: str, arm: str, k: int, seed: int) -> str:
        return content_key(
            {
                "shared": shared_key,
                "method": [method, losses[method]],
                "arm": arm,
                "k": k,
                "seed": seed,
                "counterfactuals": search if arm == "cod" else None,
                **({"control": copies} if arm == "control" else {}),
            }
        )

    return [
        Cell(method, arm, k, seed, key(method, arm, k, seed))
        for k in sorted(recipe.k)
        for seed in recipe.seeds
        for method in recipe.methods
        for arm in recipe.arms
    ]


def teacher_identity(recipe: Recipe, registry: Registry) -> dict[str, Any]:
    """What decides the teacher. The number of threads changes the order of sums in fine-tuning, so it is included."""
    identity: dict[str, Any] = {"component": _identity(registry, "teacher", recipe.teacher)}
    if recipe.teacher.finetune is not None:
        identity["finetune"] = recipe.teacher.finetune.model_dump(mode="json")
        identity["threads"] = finetuning_threads()
        identity["data"] = [_identity(registry, "dataset", recipe.dataset), recipe.evaluate.split]
        if recipe.evaluate.select == "best_dev":
            identity["data"].append("less the rows that choose the epoch")
    return identity


def counterfactual_identity(recipe: Recipe, registry: Registry) -> dict[str, Any] | None:
    """What decides the counterfactuals, apart from the teacher; a budget bounds a run and decides nothing."""
    if recipe.counterfactuals is None:
        return None
    identity = recipe.counterfactuals.model_dump(mode="json", exclude={"generators", "budget"})
    if identity["margin"] == 0:  # 0 changes nothing, and the grammar had no such key when older cells were run
        del identity["margin"]
    identity["generators"] = [_identity(registry, "generator", use) for use in recipe.counterfactuals.generators]
    identity["describe"] = recipe.describe
    return identity


def control_identity(recipe: Recipe, registry: Registry) -> dict[str, Any] | None:
    """What decides the copies of the arm ``control``, apart from the teacher."""
    if recipe.control is None:
        return None
    return {"generator": _identity(registry, "generator", recipe.control)}


def _identity(registry: Registry, kind: Kind, use: Use) -> dict[str, Any]:
    return registry.identity(kind, use.use, use.options)
