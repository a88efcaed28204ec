"""From loaded data to a clean training pool and an evaluation split that shares no text with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cod_runner.api import DataError, Example, LoadedData
from cod_runner.data.cleaning import Dropped, cleaned, labelled, unlabelled_apart
from cod_runner.data.content import by_class, content_of, content_rank
from cod_runner.data.splits import (
    EVALUATION_SPLIT,
    FOLDS,
    only_split,
    pool_split,
    refuse_unlabelled,
    undivided_split,
    unlabelled_rows,
)
from cod_runner.errors import CodrunError

EVALUATION_SHARE = 0.2
EVALUATION_ROWS = 2_000
"""Of a data set without splits, this share of the rows, and at most this many, become the evaluation split."""

DEV_ROWS = 500
"""The most rows of the pool that choose an epoch."""

LABELS = ("dataset", "labels")
"""The setting of a recipe that a fault of the labels points at."""


@dataclass(frozen=True)
class Corpus:
    """What an experiment trains on and what it is measured on; no content is in both."""

    labels: tuple[str, ...]
    pool: tuple[Example, ...]
    """The teacher's training rows and the few-shot originals are drawn from it; in the order of the data."""
    evaluation: tuple[Example, ...]
    notes: tuple[str, ...]
    dropped: Dropped
    unlabelled: tuple[Example, ...] = ()
    """Rows without a label, whose inputs are in neither of the two; in the order of the data."""
    fold: int | None = None
    """Which of the folds is the evaluation split, from 0; None where the data is not divided into folds."""

    @property
    def unread(self) -> tuple[Example, ...]:
        """Every row whose input may be read without its label: the unlabelled rows, then the pool."""
        return (*self.unlabelled, *self.pool)


def prepare_corpus(data: LoadedData, split: str, *, seed: int = 0) -> Corpus:
    """Clean the data and separate the evaluation split ``split`` from the training pool.

    Texts count as equal when they are equal after Unicode NFC and folding of white space; case counts. Where the data
    is a single split, :data:`EVALUATION_SHARE` of its rows, stratified, become the evaluation split; which ones depends
    on ``seed`` and the texts, not on the order of the rows. Rows of the pool's split that have no label, and all of a
    split named :data:`UNLABELLED_SPLIT`, are the unlabelled ones. Raises :class:`DataError` whose setting leads from
    the recipe's root to what would cure it.
    """
    notes = list(data.notes)
    if split in data.splits:
        pool_name = pool_split(data, split)
        refuse_unlabelled(data, split)
        evaluation, dropped = cleaned(data.splits[split])
        pool, dropped_here = cleaned(labelled(data.splits[pool_name]))
        held = {content_of(example.input) for example in evaluation}
        apart = [example for example in pool if content_of(example.input) not in held]
        dropped = dropped + dropped_here + Dropped(overlapping=len(pool) - len(apart))
        pool = apart
    else:
        pool_name = only_split(data, split)
        rows, dropped = cleaned(labelled(data.splits[pool_name]))
        _check_classes(data.labels, rows, "the data", least=2, dropped=dropped)
        wanted = min(EVALUATION_ROWS, round(EVALUATION_SHARE * len(rows)))
        evaluation, pool = _stratified(rows, len(data.labels), seed, wanted, "evaluation")
        notes.append(
            f"the data has no split `{split}`: {len(evaluation):,} of its {len(rows):,} rows are held out for the "
            "evaluation, the same in every run"
        )
    unlabelled, dropped_here = unlabelled_apart(unlabelled_rows(data, pool_name), pool, evaluation)
    dropped = dropped + dropped_here
    notes += _said_of(unlabelled, dropped)
    _check_classes(data.labels, pool, f"the training pool (split `{pool_name}`)", least=1, dropped=dropped)
    if not evaluation:
        raise DataError(
            f"the evaluation split `{split}` has no rows; {dropped.sentence() or 'it is empty'}", *EVALUATION_SPLIT
        )
    absent = [name for name, rows in zip(data.labels, by_class(evaluation, len(data.labels)), strict=True) if not rows]
    if absent:
        notes.append(f"the evaluation split `{split}` has no row of {', '.join(f'`{name}`' for name in absent)}")
    _check_apart([*pool, *unlabelled], evaluation)
    return Corpus(data.labels, tuple(pool), tuple(evaluation), tuple(notes), dropped, tuple(unlabelled))


def with_fewer_rows(corpus: Corpus, rows: int | None) -> Corpus:
    """The corpus with at most ``rows`` rows to evaluate on, each class by its share; the others are not used at all."""
    if rows is None or rows >= len(corpus.evaluation):
        return corpus
    chosen, _ = _stratified(corpus.evaluation, len(corpus.labels), 0, rows, "fewer evaluation rows", exactly=True)
    return replace(corpus, evaluation=tuple(chosen))


def prepare_folds(data: LoadedData, split: str, folds: int) -> tuple[Corpus, ...]:
    """Clean the data and divide it for a cross-validation: each row is in the evaluation split of one fold, and in the
    training pool of all others.

    Folds are stratified and differ in size by one row at most. Which row is in which depends on its class and the texts
    alone, so it is the same in every run. Raises :class:`DataError` for data that has an evaluation split, or too few
    rows.
    """
    name = undivided_split(data, split)
    rows, dropped = cleaned(labelled(data.splits[name]))
    unlabelled, dropped_here = unlabelled_apart(unlabelled_rows(data, name), rows, ())
    dropped = dropped + dropped_here
    _check_classes(data.labels, rows, "the data", least=2, dropped=dropped)
    if len(rows) < folds:
        raise DataError(f"the data has {len(rows):,} rows, too few for {folds} folds; take fewer folds", *FOLDS)
    classes = by_class(rows, len(data.labels))
    notes = [*data.notes, *_said_of(unlabelled, dropped)]
    for label, each in zip(data.labels, classes, strict=True):
        if len(each) < folds:
            notes.append(f"the data has {len(each):,} rows of `{label}`, so some of its {folds} folds measure none")
    dealt = [row for each in classes for row in sorted(each, key=lambda row: content_rank("folds", 0, row))]
    fold_of = {row.id: place % folds for place, row in enumerate(dealt)}
    corpora = []
    for fold in range(folds):
        evaluation = tuple(row for row in rows if fold_of[row.id] == fold)
        pool = tuple(row for row in rows if fold_of[row.id] != fold)
        _check_apart(pool, evaluation)
        corpora.append(Corpus(data.labels, pool, evaluation, tuple(notes), dropped, tuple(unlabelled), fold))
    return tuple(corpora)


def _said_of(unlabelled: Sequence[Example], dropped: Dropped) -> list[str]:
    """Notes on the rows without a label, and on those that are not used."""
    notes = []
    if unlabelled:
        notes.append(f"{len(unlabelled):,} texts without a label, for arms with `unlabelled: {{from: pool, ...}}`")
    return [*notes, *filter(None, [dropped.sentence()])]


def _stratified(
    rows: Sequence[Example], classes: int, seed: int, wanted: int, purpose: str, *, exactly: bool = False
) -> tuple[list[Example], list[Example]]:
    """(``wanted`` rows, rest), each in the order of the rows. Each class contributes its share, by largest remainder,
    but at least one row, and at least one row of it stays; with ``exactly`` none need stay, and the largest classes
    make room for the smallest."""
    rows_of = by_class(rows, classes)
    shares = [wanted * len(each) / len(rows) for each in rows_of]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(classes), key=lambda label: (counts[label] - shares[label], label))
    for label in by_remainder[: wanted - sum(counts)]:
        counts[label] += 1
    counts = [
        max(0, min(max(count, 1), len(each) - (not exactly))) for each, count in zip(rows_of, counts, strict=True)
    ]
    while exactly and sum(counts) > wanted:
        counts[counts.index(max(counts))] -= 1
    chosen: set[str] = set()
    for each, count in zip(rows_of, counts, strict=True):
        ranked = sorted(each, key=lambda example: content_rank(purpose, seed, example))
        chosen.update(example.id for example in ranked[:count])
    return [row for row in rows if row.id in chosen], [row for row in rows if row.id not in chosen]


def _check_classes(labels: Sequence[str], rows: Sequence[Example], where: str, *, least: int, dropped: Dropped) -> None:
    """At least two classes, each of them with at least ``least`` rows."""
    aside = f" ({dropped.sentence()})" if dropped.sentence() else ""
    if not rows:
        raise DataError(f"{where} has no rows{aside}", "dataset")
    counts = [len(each) for each in by_class(rows, len(labels))]
    there = [name for name, count in zip(labels, counts, strict=True) if count]
    if len(there) == 1:
        raise DataError(
            f"{where} has rows of one class only, `{there[0]}`, so there is nothing to classify{aside}; "
            "check the label column and `labels:`",
            *LABELS,
        )
    for name, count in zip(labels, counts, strict=True):
        if count < least:
            have = f"only {count:,}" if count else "none"
            cure = (
                "leave that row out of the data, and the label out of `labels:`"
                if count
                else "remove the label from `labels:`"
            )
            raise DataError(
                f"{where} needs at least {least} rows of the class `{name}` and has {have}{aside}; add rows, or {cure}",
                *LABELS,
            )


def _check_apart(pool: Sequence[Example], evaluation: Sequence[Example]) -> None:
    """The last line of defence: nothing in the evaluation split may be trained on."""
    held = {content_of(example.input) for example in evaluation}
    shared = sum(content_of(example.input) in held for example in pool)
    if shared:
        raise CodrunError(
            f"{shared:,} rows of the training pool are in the evaluation split: a bug in codrun, please report it"
        )
