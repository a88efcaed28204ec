"""What decides a result: the teacher, a search, an arm, as plain data for the keys of cells, pairs and teachers."""

from __future__ import annotations

from typing import Any

from cod_runner.api import Kind
from cod_runner.machine import finetuning_threads
from cod_runner.recipe.answering import answering_of
from cod_runner.recipe.arms import Arm, Keep, is_standard
from cod_runner.recipe.grammar import Calibration, Recipe
from cod_runner.recipe.sections import Use
from cod_runner.registry import Registry
from cod_runner.store import content_key


def component_identity(registry: Registry, kind: Kind, use: Use) -> dict[str, Any]:
    """Name, version and options of a component."""
    return registry.identity(kind, use.use, use.options)


def teacher_identity(recipe: Recipe, registry: Registry, fold: int | None = None) -> dict[str, Any]:
    """What decides the teacher. The numbers of threads and processes change the order of sums in fine-tuning, so
    they are included.

    ``fold`` is the one that the teacher trains nothing on, where rows are divided into folds and one teacher is meant.
    """
    identity: dict[str, Any] = {"component": component_identity(registry, "teacher", recipe.teacher)}
    if recipe.teacher.finetune is not None:
        identity["finetune"] = recipe.teacher.finetune.model_dump(mode="json")
        identity["threads"] = finetuning_threads()
        if recipe.teacher.processes > 1:
            identity["processes"] = recipe.teacher.processes
        identity["data"] = [component_identity(registry, "dataset", recipe.dataset), recipe.evaluate.split]
        if recipe.evaluate.select == "best_dev":
            identity["data"].append("less the rows that choose the epoch")
    if (answering := answering_of(recipe, registry)) is not None:
        # Its shots, and the texts that it is calibrated by, are drawn from the pool.
        identity["asked"] = {
            "data": [component_identity(registry, "dataset", recipe.dataset), recipe.evaluate.split],
            "less the rows that choose the epoch": recipe.evaluate.select == "best_dev",
            "describe": recipe.describe,
            "calibration": (recipe.teacher.calibration or Calibration()).identity(),
            "shots": [answering.shots, answering.seed],
        }
    if fold is not None:
        identity["less the fold"] = [fold, recipe.evaluate.folds]
    return identity


def finetuned_key(recipe: Recipe, registry: Registry, precision: str, device: str, fold: int | None = None) -> str:
    """The name of the recipe's fine-tuned teacher in the store, as it is on this device in this precision; ``fold`` is
    the one that it trains nothing on."""
    return _finetuned_key(recipe, teacher_identity(recipe, registry, fold), precision, device)


def possible_teacher_keys(recipe: Recipe, registry: Registry, fold: int | None = None) -> list[str]:
    """Each :func:`finetuned_key` that it may have, whatever the machine computes on: to ask, without torch, whether it
    is in the store."""
    wanted = recipe.teacher.finetune.precision if recipe.teacher.finetune is not None else "auto"
    identity = teacher_identity(recipe, registry, fold)
    return [
        _finetuned_key(recipe, identity, precision, device)
        for precision in (("fp32", "bf16", "fp16") if wanted == "auto" else (wanted,))
        for device in ("cpu", "cuda", "mps")
    ]


def _finetuned_key(recipe: Recipe, identity: dict[str, Any], precision: str, device: str) -> str:
    settings = recipe.teacher.finetune.model_dump(mode="json") if recipe.teacher.finetune is not None else {}
    return content_key({**identity, "finetune": {**settings, "precision": precision}, "device": device})


def counterfactual_identity(recipe: Recipe, registry: Registry) -> dict[str, Any] | None:
    """What decides the counterfactuals, apart from the teacher; a budget bounds a run and decides nothing."""
    if recipe.counterfactuals is None:
        return None
    return {
        **_settings_identity(recipe),
        "generators": [component_identity(registry, "generator", use) for use in recipe.counterfactuals.generators],
        "describe": recipe.describe,
    }


def control_identity(recipe: Recipe, registry: Registry) -> dict[str, Any] | None:
    """What decides the copies of the arm ``control``, apart from the teacher."""
    if recipe.control is None:
        return None
    return {"generator": component_identity(registry, "generator", recipe.control)}


def generator_identity(recipe: Recipe, registry: Registry, use: Use, keep: Keep) -> dict[str, Any]:
    """What decides what a generator of an arm adds, apart from the teacher."""
    identity = {"generator": component_identity(registry, "generator", use), "keep": keep, "describe": recipe.describe}
    return {**identity, "settings": _settings_identity(recipe)} if keep == "flip" else identity


def arm_identity(recipe: Recipe, registry: Registry, name: str) -> dict[str, Any]:
    """What decides a training set, apart from k, seed, data and teacher: the keys of a cell that are about its arm.

    Arms that a name alone stands for have the keys that they had before arms could be told in full.
    """
    arm = recipe.arms[name]
    flips = counterfactual_identity(recipe, registry)
    if is_standard(name, arm):
        identity: dict[str, Any] = {"counterfactuals": flips if arm.uses_section else None}
        if "control" in arm.add:
            identity["control"] = control_identity(recipe, registry)
    else:
        identity = {"training_set": _described(recipe, registry, arm)}
    sharing = _sharing_with(recipe, name)
    if sharing:
        others = [[other, _described(recipe, registry, recipe.arms[other])] for other in sharing]
        identity["same_originals"] = others
    return identity


def _described(recipe: Recipe, registry: Registry, arm: Arm) -> dict[str, Any]:
    keep = arm.keep or "flip"
    words = {
        "flips": lambda: counterfactual_identity(recipe, registry),
        "misses": lambda: counterfactual_identity(recipe, registry),
        "control": lambda: control_identity(recipe, registry),
    }
    described: dict[str, Any] = {
        "select": component_identity(registry, "selector", arm.select),
        "balanced": arm.balanced,
        "add": [
            generator_identity(recipe, registry, each, keep) if isinstance(each, Use) else [each, words[each]()]
            for each in arm.add
        ],
        "per_original": arm.per_original,
        "of": arm.of,
    }
    if arm.choose is not None:  # a chooser may ask the recipe's student, briefly trained by the first method
        method = next(iter(recipe.methods.values()))
        described["choose"] = [
            component_identity(registry, "chooser", arm.choose),
            [[component_identity(registry, "loss", loss), loss.weight] for loss in method],
        ]
    if arm.unlabelled is not None:
        source = arm.unlabelled.source
        if isinstance(source, Use):
            described["unlabelled"] = generator_identity(recipe, registry, source, "any")
        else:
            described["unlabelled"] = source
        described["amount"] = arm.unlabelled.per_original or arm.unlabelled.rows
    return described


def _sharing_with(recipe: Recipe, name: str) -> list[str]:
    """The other arms that decide which originals this one takes."""
    if recipe.same_originals is False:
        return []
    sharing = [other for other, arm in recipe.arms.items() if recipe.same_originals or arm.add]
    # An arm that adds nothing can use every original, so it decides nothing.
    return sorted(other for other in sharing if other != name and recipe.arms[other].add) if name in sharing else []


def _settings_identity(recipe: Recipe) -> dict[str, Any]:
    made = recipe.counterfactuals
    if made is None:
        return {}
    identity = made.model_dump(mode="json", exclude={"generators", "budget"})
    if identity["margin"] == 0:  # 0 changes nothing, and the grammar had no such key when older cells were run
        del identity["margin"]
    return identity
