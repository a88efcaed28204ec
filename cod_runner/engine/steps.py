"""What the settings of a training say before anything is loaded: how many steps it takes, and whether rows of the
embeddings may be left out of them. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from cod_runner.api import TrainSettings

FEW_STEPS = 50
"""In fewer steps a classification head that starts at random hardly leaves chance, at the learning rates that
pretrained students take."""


def cut_is_exact(settings: TrainSettings) -> bool:
    """Whether training only the embedding rows in use gives the same weights: an untouched row's step must be its
    decay alone, which holds for decoupled decay, and for Adam without any."""
    return settings.compact_vocabulary and (settings.optimiser == "adamw" or settings.weight_decay == 0)


def planned_steps(settings: TrainSettings, batches_in: Callable[[int], int]) -> int:
    """Optimiser steps of a training: ``steps``, or what ``epochs`` passes make.

    ``batches_in(number)`` is how many batches pass ``number``, from 1, holds. A step takes ``accumulation`` batches,
    and the last one of a pass those that remain.
    """
    if settings.epochs is None:
        return settings.steps or 1
    return sum(-(-batches_in(number) // settings.accumulation) for number in range(1, settings.epochs + 1))


def steps_at(settings: TrainSettings, k: int) -> int:
    """Optimiser steps of every cell of this k: what passes over k examples make, so that arms take equally many, also
    where one is short of pairs."""
    return planned_steps(settings, lambda number: math.ceil(k / settings.batch_size))


def warning_of_few_steps(settings: TrainSettings, ks: Iterable[int]) -> str | None:
    """One sentence, where some k trains too few steps for a fresh head to learn anything; None where none does."""
    few = [(k, steps) for k in sorted(ks) if (steps := steps_at(settings, k)) < FEW_STEPS]
    if not few:
        return None
    (k, steps), *others = few
    trains = f"k={k} trains {steps} step{'' if steps == 1 else 's'}"
    trained = ", ".join([trains, *(f"k={k} {steps}" for k, steps in others)])
    raised = "train.steps" if settings.epochs is None else "train.epochs"
    return f"{trained}; a fresh head stays near chance below about {FEW_STEPS} steps: raise `{raised}`"
