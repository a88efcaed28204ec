"""How the numbers of a run were made, in words, one line per setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from cod_runner.api import TrainSettings
from cod_runner.recipe.arms import CONTROL, Arm, is_standard
from cod_runner.recipe.grammar import Recipe, Use, WeightedLoss

DECIDES_WHAT_IS_MEASURED = ("data set", "evaluation")
"""Settings of the protocol; where runs differ in them, their numbers are not of the students alone."""


@dataclass(frozen=True)
class Setting:
    """One line of the protocol."""

    name: str
    value: str


def protocol(recipe: Recipe, rows: object = None) -> list[Setting]:
    """Data, models, counterfactuals, training and selection of a recipe, in the order of the recipe.

    ``rows`` is how many rows were measured, as far as it is known.
    """
    settings = [
        Setting("data set", component_in_words(recipe.dataset)),
        Setting("k", ", ".join(str(k) for k in sorted(recipe.k))),
        Setting("seeds", ", ".join(str(seed) for seed in recipe.seeds)),
        Setting("teacher", component_in_words(recipe.teacher)),
    ]
    if recipe.teacher.finetune is not None:
        tuned = recipe.teacher.finetune
        together = f", in {recipe.teacher.processes} processes" if recipe.teacher.processes > 1 else ""
        settings.append(
            Setting(
                "teacher fine-tuning",
                f"{tuned.rows:,} rows, {training_in_words(tuned)}, seed {tuned.seed}{together}",
            )
        )
    settings.append(Setting("student", component_in_words(recipe.student)))
    settings += [Setting(f"method {name}", losses_in_words(losses)) for name, losses in recipe.methods.items()]
    settings += _settings_of_the_arms(recipe)
    return [
        *settings,
        Setting("training", training_in_words(recipe.train)),
        Setting("evaluation", evaluation_in_words(recipe, rows)),
    ]


def _settings_of_the_arms(recipe: Recipe) -> Iterator[Setting]:
    """Who makes what arms add, what each arm is that a name alone does not say, and which originals they share."""
    if recipe.counterfactuals is not None and any(arm.uses_section for arm in recipe.arms.values()):
        made = recipe.counterfactuals
        makers = ", then ".join(component_in_words(generator) for generator in made.generators)
        verdict = "each verified to flip the teacher" if made.verify else "not verified"
        yield Setting(
            "counterfactuals",
            f"{makers}; {verdict}; flipped from the {made.base_label}'s label; on failure {made.on_failure}",
        )
    if recipe.control is not None and any(CONTROL in arm.add for arm in recipe.arms.values()):
        copier = component_in_words(recipe.control)
        yield Setting("control", f"{copier}; each copy verified not to flip the teacher")
    for name, arm in recipe.arms.items():
        if not is_standard(name, arm):
            yield Setting(f"arm {name}", arm_in_words(arm))
    if recipe.same_originals is not False and len(recipe.arms) > 1:
        which = "all arms" if recipe.same_originals else "arms that add something"
        yield Setting("originals", f"{which} pass over the same ones")


def evaluation_in_words(recipe: Recipe, rows: object = None) -> str:
    """``validation split, last step``; ``rows`` is how many were measured, as far as it is known."""
    evaluate = recipe.evaluate
    select = {
        "last": "last step",
        "best_dev": "best epoch on a split carved from the pool (20%, at most 500 rows), whose gold labels are read "
        "beside k",
        "best_reported": f"best epoch on the reported {'fold' if evaluate.folds else 'split'} (optimistic)",
    }[evaluate.select]
    if evaluate.folds is not None:
        return folds_in_words(recipe, rows, select)
    fewer = "" if evaluate.rows is None else f" (at most {evaluate.rows:,} of its rows)"
    return f"{evaluate.split} split{fewer}, {select}"


def folds_in_words(recipe: Recipe, rows: object, select: str) -> str:
    """``5-fold cross-validation over 60 rows, last step: each row is measured by the seeds of its fold (...)``."""
    evaluate = recipe.evaluate
    seeds = {
        fold: [seed for seed in recipe.seeds if evaluate.fold_of(seed) == fold] for fold in range(evaluate.folds or 0)
    }
    by_fold = "; ".join(f"{fold}: {', '.join(map(str, each)) or 'none'}" for fold, each in seeds.items())
    over = f" over {rows:,} rows" if isinstance(rows, int) else ""
    return (
        f"{evaluate.folds}-fold cross-validation{over}, {select}: each row is measured by the seeds of its fold "
        f"({by_fold}), whose training rows, teacher and counterfactuals come from the other folds; a deviation over "
        "seeds holds the differences of the folds too"
    )


def arm_in_words(arm: Arm) -> str:
    """``originals by typical, 2 flips of each, on different words``."""
    ordered = f"originals by {component_in_words(arm.select)}"
    words = [ordered if arm.balanced else f"{ordered}, classes not balanced"]
    for each in arm.add:
        what = each if isinstance(each, str) else f"{component_in_words(each)} (kept: {arm.keep or 'flip'})"
        copies = each == CONTROL or (not isinstance(each, str) and arm.keep in ("same", "any"))
        apart = "" if arm.per_original == 1 or copies else ", on different words"
        words.append(f"{arm.per_original} {what} of {'each' if arm.of == 'own' else 'other originals'}{apart}")
    if arm.choose is not None:
        words.append(f"chosen by {component_in_words(arm.choose)}")
    if arm.unlabelled is not None:
        more, source = arm.unlabelled, arm.unlabelled.source
        amount = f"{more.rows} rows" if more.rows else f"at most {more.per_original} of each original"
        words.append(f"unlabelled: {amount} from {source if isinstance(source, str) else component_in_words(source)}")
    return ", ".join(words)


def training_in_words(train: TrainSettings) -> str:
    """Length, batch, optimiser, schedule, precision."""
    length = (
        f"{train.steps:,} steps"
        if train.steps is not None
        else f"{train.epochs} epoch{'' if train.epochs == 1 else 's'}"
    )
    words = [length, f"batch {train.batch_size}", f"{train.optimiser} lr {train.lr:g}", f"{train.schedule} schedule"]
    if train.accumulation > 1:
        words[1] += f" x {train.accumulation}"
    if train.warmup:
        words.append(f"warm-up {train.warmup:g}")
    words.append(f"weight decay {train.weight_decay:g}")
    if train.clip is not None:
        words.append(f"clipped at {train.clip:g}")
    return ", ".join([*words, f"precision {train.precision}"])


def losses_in_words(losses: list[WeightedLoss]) -> str:
    """``hard + 20 x kd (temperature 2)``."""
    return " + ".join(("" if loss.weight == 1 else f"{loss.weight:g} x ") + component_in_words(loss) for loss in losses)


def component_in_words(use: Use) -> str:
    """The component's name and its options, except null, false and empty ones; a path only by its last part."""
    options = [f"{name} {_in_words(value)}" for name, value in use.options.items() if _says_something(value)]
    return f"{use.use} ({', '.join(options)})" if options else use.use


def _says_something(value: Any) -> bool:
    """Whether a value is neither null, false nor empty; 0 counts."""
    return value is not None and value is not False and not (isinstance(value, str | list | tuple | dict) and not value)


def _in_words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return without_folder(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} {_in_words(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_in_words(each) for each in value) + "]"
    return "yes" if value is True else str(value)


def without_folder(value: str) -> str:
    """An absolute path by its last part, also after a word, as in ``file:/home/me/prompt.txt``; any other text as it
    is. What is passed on should not reveal the folders of this machine."""
    word, colon, path = value.partition(":")
    for flavour in (PurePosixPath, PureWindowsPath):
        if flavour(value).is_absolute():
            return flavour(value).name
        if colon and not path.startswith("//") and flavour(path).is_absolute():
            return f"{word}:{flavour(path).name}"
    return value
