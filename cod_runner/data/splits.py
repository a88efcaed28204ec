"""Which split of a data set is trained on, which is measured on, and which has texts alone.

Each function raises :class:`DataError` that points at the setting of the recipe that would cure it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cod_runner.api import DataError, Example, LoadedData
from cod_runner.component_results import UNLABELLED

EVALUATION_SPLIT = ("evaluate", "split")
FOLDS = ("evaluate", "folds")
UNLABELLED_SPLIT = "unlabelled"
"""The name of a split of which only the texts are read."""


def pool_split(data: LoadedData, evaluation: str) -> str:
    """The split to train on, beside the one to evaluate on."""
    others = [name for name in data.splits if name not in (evaluation, UNLABELLED_SPLIT)]
    if "train" in others:
        return "train"
    if len(others) == 1:
        return others[0]
    if not others:
        raise DataError(
            f"the only split of the data is `{evaluation}`, which cannot serve for training and evaluation at once; "
            "give `evaluate.split` another name, and some of its rows are held out",
            *EVALUATION_SPLIT,
        )
    raise DataError(
        f"no split is named `train`, so the training pool is unknown: there are {_listed(data.splits)}; "
        "name one of them `train` in the data set's `splits`",
        "dataset",
        "splits",
    )


def only_split(data: LoadedData, wanted: str) -> str:
    """The one split of data that has none to evaluate on, which was to be ``wanted``."""
    if not data.splits:
        raise DataError("the data set has no rows", "dataset")
    splits = [name for name in data.splits if name != UNLABELLED_SPLIT]
    if len(splits) != 1:
        raise DataError(
            f"the data has no split `{wanted}`; set `evaluate.split` to one that it has: {_listed(data.splits)}",
            *EVALUATION_SPLIT,
        )
    return splits[0]


def undivided_split(data: LoadedData, evaluation: str) -> str:
    """The only split of data that is to be divided into folds."""
    if not data.splits:
        raise DataError("the data set has no rows", "dataset")
    splits = [name for name in data.splits if name != UNLABELLED_SPLIT]
    if len(splits) != 1:
        has = f"a split `{evaluation}` to evaluate on" if evaluation in data.splits else "splits of its own"
        raise DataError(
            f"`folds` divides the rows of data without splits, and this has {has} ({_listed(data.splits)}); remove "
            "`folds`",
            *FOLDS,
        )
    if evaluation in data.splits:
        raise DataError(
            f"the only split of the data is `{evaluation}`, which `evaluate.split` names; with `folds` give "
            "`evaluate.split` another name, and all its rows are divided",
            *FOLDS,
        )
    return splits[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def refuse_unlabelled(data: LoadedData, split: str) -> None:
    """Refuse to measure on a split without labels."""
    rows = data.splits[split]
    if rows and all(example.label in (None, UNLABELLED) for example in rows):
        there = {name: {row.label for row in each} - {None, UNLABELLED} for name, each in data.splits.items()}
        labelled = [name for name, labels in there.items() if labels]
        why = f"the labels of the split `{split}` are not public (all are -1, as in GLUE's test sets)"
        if all(example.label is None for example in rows):
            why = f"no row of the split `{split}` has a label"
        raise DataError(
            f"{why}, so nothing can be measured on it; splits with labels: {_listed(labelled) or 'none'}",
            *EVALUATION_SPLIT,
        )


def unlabelled_rows(data: LoadedData, pool_name: str) -> list[Example]:
    """What the data has without a label: rows of the pool's split, and the split of that name."""
    offered = [row for row in data.splits[pool_name] if row.label is None]
    if pool_name != UNLABELLED_SPLIT:
        offered += [replace(row, label=None) for row in data.splits.get(UNLABELLED_SPLIT, ())]
    return offered
