"""How many examples, shots and folds a file allows."""

from __future__ import annotations

import math
from collections import Counter

from cod_runner.api import Example, LoadedData
from cod_runner.data.corpus import Corpus, prepare_folds
from cod_runner.data.fewshot import check_pool
from cod_runner.errors import DataError
from cod_runner.recipe.arms import DEFAULT_ARMS, STANDARD
from cod_runner.scaffold.defaults import MOST_SHOTS, SHOTS_OF_A_CLASS

SMALLEST_K = 8


def fewest_rows(corpus: Corpus) -> int:
    """Rows of the pool of the class with the fewest."""
    counts = Counter(example.label for example in corpus.pool)
    return min(counts[label] for label in range(len(corpus.labels)))


def smallest_fold(data: LoadedData, split: str, folds: int) -> Corpus:
    """The fold that has the fewest rows of some class to draw from: what fits it fits them all."""
    return min(prepare_folds(data, split, folds), key=fewest_rows)


def suitable_shots(corpus: Corpus) -> int:
    """Labelled texts for the prompt of a language model, which leave at least a pair of each class to train on."""
    classes = len(corpus.labels)
    return min(SHOTS_OF_A_CLASS, MOST_SHOTS // classes, fewest_rows(corpus) // 4) * classes


def without_shots(corpus: Corpus, shots: int) -> list[Example]:
    """The pool less as many rows of each class as the shots take."""
    taken: Counter[int | None] = Counter()
    rest = []
    for row in corpus.pool:
        taken[row.label] += 1
        if taken[row.label] > shots // len(corpus.labels):
            rest.append(row)
    return rest


def suitable_k(corpus: Corpus) -> list[int]:
    """One k, and its double if it fits, in whole groups of both arms. A third of the rows stays out of the largest,
    where that leaves any: to replace originals without a counterfactual, to choose among students, to calibrate them.

    Raises :class:`DataError` where no k fits.
    """
    classes = len(corpus.labels)
    step = 2 * classes
    fewest = fewest_rows(corpus)
    largest = fewest * 2 // 3 * classes // step * step or min(step, fewest * classes // step * step)
    if not largest:
        try:
            check_pool(step, corpus.labels, corpus.pool, {name: STANDARD[name] for name in DEFAULT_ARMS})
        except DataError as error:
            raise DataError(f"{error}: label more rows of it, or leave its rows out of the file") from error
    first = min(largest, step * math.ceil(SMALLEST_K / step))
    return [k for k in (first, 2 * first) if k <= largest]
