"""From loaded data to a clean training pool and an evaluation split that shares no text with it."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from cod_runner.api import DataError, Example, Input, LoadedData
from cod_runner.component_results import UNLABELLED
from cod_runner.errors import CodrunError

EVALUATION_SHARE = 0.2
EVALUATION_ROWS = 2_000
"""Of a data set without splits, this share of the rows, and at most this many, become the evaluation split."""

DEV_ROWS = 500
"""The most rows of the pool that choose an epoch."""

EVALUATION_SPLIT = ("evaluate", "split")
FOLDS = ("evaluate", "folds")
LABELS = ("dataset", "labels")
"""Settings of a recipe that a fault of the data points at."""

UNLABELLED_SPLIT = "unlabelled"
"""The name of a split of which only the texts are read."""


@dataclass(frozen=True)
class Dropped:
    """Rows omitted, by reason."""

    empty: int = 0
    unlabelled: int = 0
    duplicate: int = 0
    """Further rows of one text with one label; the first row stays."""
    conflicting: int = 0
    """Rows of a text that has several labels; all are dropped."""
    overlapping: int = 0
    """Rows of the pool, or without a label, whose text is in the evaluation split too."""

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def in_words(self) -> str:
        """``3 without text, 2 that repeat another``; "" where none was dropped."""
        reasons = (
            (self.empty, "without text"),
            (self.unlabelled, "without a label"),
            (self.duplicate, "that repeat another"),
            (self.conflicting, "whose text has several labels"),
            (self.overlapping, "of the pool that are in the evaluation split"),
        )
        return ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)

    def sentence(self) -> str:
        """How many rows were dropped and why; "" where none was."""
        return f"dropped rows: {self.in_words}" if self.in_words else ""


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
        pool_name = _pool_split(data, split)
        _refuse_unlabelled(data, split)
        evaluation, dropped = _cleaned(data.splits[split])
        pool, dropped_here = _cleaned(_labelled(data.splits[pool_name]))
        held = {content_of(example.input) for example in evaluation}
        apart = [example for example in pool if content_of(example.input) not in held]
        dropped = dropped + dropped_here + Dropped(overlapping=len(pool) - len(apart))
        pool = apart
    else:
        pool_name = _only_split(data, split)
        rows, dropped = _cleaned(_labelled(data.splits[pool_name]))
        _check_classes(data.labels, rows, "the data", least=2, dropped=dropped)
        wanted = min(EVALUATION_ROWS, round(EVALUATION_SHARE * len(rows)))
        evaluation, pool = _stratified(rows, len(data.labels), seed, wanted, "evaluation")
        notes.append(
            f"the data has no split `{split}`: {len(evaluation):,} of its {len(rows):,} rows are held out for the "
            "evaluation, the same in every run"
        )
    unlabelled, dropped_here = _unlabelled(_offered(data, pool_name), pool, evaluation)
    dropped = dropped + dropped_here
    notes += _said_of(unlabelled, dropped)
    _check_classes(data.labels, pool, f"the training pool (split `{pool_name}`)", least=1, dropped=dropped)
    if not evaluation:
        raise DataError(
            f"the evaluation split `{split}` has no rows; {dropped.sentence() or 'it is empty'}", *EVALUATION_SPLIT
        )
    absent = [name for name, rows in zip(data.labels, _by_class(evaluation, len(data.labels)), strict=True) if not rows]
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
    name = _undivided(data, split)
    rows, dropped = _cleaned(_labelled(data.splits[name]))
    unlabelled, dropped_here = _unlabelled(_offered(data, name), rows, ())
    dropped = dropped + dropped_here
    _check_classes(data.labels, rows, "the data", least=2, dropped=dropped)
    if len(rows) < folds:
        raise DataError(f"the data has {len(rows):,} rows, too few for {folds} folds; take fewer folds", *FOLDS)
    by_class = _by_class(rows, len(data.labels))
    notes = [*data.notes, *_said_of(unlabelled, dropped)]
    for label, each in zip(data.labels, by_class, strict=True):
        if len(each) < folds:
            notes.append(f"the data has {len(each):,} rows of `{label}`, so some of its {folds} folds measure none")
    dealt = [row for each in by_class for row in sorted(each, key=lambda row: content_rank("folds", 0, row))]
    fold_of = {row.id: place % folds for place, row in enumerate(dealt)}
    corpora = []
    for fold in range(folds):
        evaluation = tuple(row for row in rows if fold_of[row.id] == fold)
        pool = tuple(row for row in rows if fold_of[row.id] != fold)
        _check_apart(pool, evaluation)
        corpora.append(Corpus(data.labels, pool, evaluation, tuple(notes), dropped, tuple(unlabelled), fold))
    return tuple(corpora)


def _offered(data: LoadedData, pool_name: str) -> list[Example]:
    """What the data has without a label: rows of the pool's split, and the split of that name."""
    offered = [row for row in data.splits[pool_name] if row.label is None]
    if pool_name != UNLABELLED_SPLIT:
        offered += [replace(row, label=None) for row in data.splits.get(UNLABELLED_SPLIT, ())]
    return offered


def _said_of(unlabelled: Sequence[Example], dropped: Dropped) -> list[str]:
    """Notes on the rows without a label, and on those that are not used."""
    notes = []
    if unlabelled:
        notes.append(f"{len(unlabelled):,} texts without a label, for arms with `unlabelled: {{from: pool, ...}}`")
    return [*notes, *filter(None, [dropped.sentence()])]


def content_of(value: Input) -> Input:
    """What decides whether two inputs are equal: a text after NFC and folding of white space, or the vector."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    return value


def content_rank(purpose: str, seed: int, example: Example) -> bytes:
    """A pseudo-random sort key that depends on the purpose, the seed and the content alone, so that sorting by it
    gives the same order in every process, whatever the order of a file's rows."""
    content = content_of(example.input)
    if isinstance(content, tuple):
        content = tuple(map(float, content))
    spelled = content if isinstance(content, str) else repr(content)
    return hashlib.sha256(f"{purpose}\0{seed}\0{spelled}".encode("utf-8", "surrogatepass")).digest()


def _pool_split(data: LoadedData, evaluation: str) -> str:
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


def _only_split(data: LoadedData, wanted: str) -> str:
    if not data.splits:
        raise DataError("the data set has no rows", "dataset")
    splits = [name for name in data.splits if name != UNLABELLED_SPLIT]
    if len(splits) != 1:
        raise DataError(
            f"the data has no split `{wanted}`; set `evaluate.split` to one that it has: {_listed(data.splits)}",
            *EVALUATION_SPLIT,
        )
    return splits[0]


def _undivided(data: LoadedData, evaluation: str) -> str:
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


def _refuse_unlabelled(data: LoadedData, split: str) -> None:
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


def _cleaned(rows: Sequence[Example]) -> tuple[list[Example], Dropped]:
    """Rows with text and label, one per content, in their order."""
    labels_of: dict[Input, set[int]] = {}
    first: dict[Input, Example] = {}
    empty = unlabelled = 0
    seen: Counter[Input] = Counter()
    for example in rows:
        content = content_of(example.input)
        if content in ("", ()):
            empty += 1
        elif example.label is None or example.label == UNLABELLED:
            unlabelled += 1
        else:
            seen[content] += 1
            labels_of.setdefault(content, set()).add(example.label)
            first.setdefault(content, example)
    conflicting = sum(seen[content] for content, labels in labels_of.items() if len(labels) > 1)
    unique = [example for content, example in first.items() if len(labels_of[content]) == 1]
    duplicate = seen.total() - conflicting - len(unique)
    return unique, Dropped(empty=empty, unlabelled=unlabelled, duplicate=duplicate, conflicting=conflicting)


def _labelled(rows: Sequence[Example]) -> list[Example]:
    """All rows but those that are handed over without a label; one that is not public is a label."""
    return [example for example in rows if example.label is not None]


def _unlabelled(
    rows: Sequence[Example], pool: Sequence[Example], evaluation: Sequence[Example]
) -> tuple[list[Example], Dropped]:
    """Rows with an input that is in neither of the two, one per content, in their order."""
    held, known = ({content_of(row.input) for row in each} for each in (evaluation, pool))
    kept: dict[Input, Example] = {}
    empty = overlapping = duplicate = 0
    for row in rows:
        content = content_of(row.input)
        if content in ("", ()):
            empty += 1
        elif content in held:
            overlapping += 1
        elif content in known or content in kept:
            duplicate += 1
        else:
            kept[content] = row
    return list(kept.values()), Dropped(empty=empty, duplicate=duplicate, overlapping=overlapping)


def _by_class(rows: Sequence[Example], classes: int) -> list[list[Example]]:
    by_class: list[list[Example]] = [[] for _ in range(classes)]
    for example in rows:
        by_class[example.hard_label].append(example)
    return by_class


def _stratified(
    rows: Sequence[Example], classes: int, seed: int, wanted: int, purpose: str, *, exactly: bool = False
) -> tuple[list[Example], list[Example]]:
    """(``wanted`` rows, rest), each in the order of the rows. Each class contributes its share, by largest remainder,
    but at least one row, and at least one row of it stays; with ``exactly`` none need stay, and the largest classes
    make room for the smallest."""
    by_class = _by_class(rows, classes)
    shares = [wanted * len(each) / len(rows) for each in by_class]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(classes), key=lambda label: (counts[label] - shares[label], label))
    for label in by_remainder[: wanted - sum(counts)]:
        counts[label] += 1
    counts = [
        max(0, min(max(count, 1), len(each) - (not exactly))) for each, count in zip(by_class, counts, strict=True)
    ]
    while exactly and sum(counts) > wanted:
        counts[counts.index(max(counts))] -= 1
    chosen: set[str] = set()
    for each, count in zip(by_class, counts, strict=True):
        ranked = sorted(each, key=lambda example: content_rank(purpose, seed, example))
        chosen.update(example.id for example in ranked[:count])
    return [row for row in rows if row.id in chosen], [row for row in rows if row.id not in chosen]


def _check_classes(labels: Sequence[str], rows: Sequence[Example], where: str, *, least: int, dropped: Dropped) -> None:
    """At least two classes, each of them with at least ``least`` rows."""
    aside = f" ({dropped.sentence()})" if dropped.sentence() else ""
    if not rows:
        raise DataError(f"{where} has no rows{aside}", "dataset")
    counts = [len(each) for each in _by_class(rows, len(labels))]
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
