"""Cells: one student each (method x arm x k x seed), and the key that hashes everything that decides its result."""

from __future__ import annotations

from dataclasses import dataclass

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.identity import arm_identity, component_identity, teacher_identity
from cod_runner.store import content_key

ENGINE_VERSION = 1
"""Raised when the core's own results change, so that older cells are run again."""


@dataclass(frozen=True)
class Cell:
    """One student to be trained."""

    method: str
    arm: str
    k: int
    seed: int
    key: str

    @property
    def training_set(self) -> tuple[str, int, int]:
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
        "dataset": component_identity(registry, "dataset", recipe.dataset),
        "teacher": teacher_identity(recipe, registry),
        "student": component_identity(registry, "student", recipe.student),
        "train": recipe.train.model_dump(mode="json"),
        "evaluate": {
            "split": recipe.evaluate.split,
            **({} if recipe.evaluate.rows is None else {"rows": recipe.evaluate.rows}),
            "select": recipe.evaluate.select,
            "metrics": [component_identity(registry, "metric", metric) for metric in recipe.evaluate.metrics],
        },
    }
    shared_key = content_key(shared)
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
