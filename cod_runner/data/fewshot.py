"""Few-shot training sets: k, seeds, balance, nesting, arms.

One order of originals per class and seed. ``plain`` takes the first k/classes of each class; ``cod`` walks the
same order and takes the first k/2/classes that have a counterfactual. So the set of a smaller k lies inside the
set of a larger one, and which originals are taken never depends on a verdict about another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from cod_runner.api import DataError, Example
from cod_runner.data.corpus import Corpus, content_rank
from cod_runner.recipe.balance import imbalance, smallest_k
from cod_runner.recipe.grammar import Arm


@dataclass(frozen=True)
class Pair:
    """An original and its counterfactual, or in the arm ``control`` its copy."""

    original: Example
    changed: Example


@dataclass(frozen=True)
class Walk:
    """The pairs of one class that an arm took, and the originals without one on the way."""

    pairs: tuple[Pair, ...]
    redrawn: int
    """Originals passed over because they have no counterfactual."""
    missing: int
    """Pairs asked for and not found."""


@dataclass(frozen=True)
class TrainingSet:
    """What one student trains on: ``rows``, classes interleaved, the two halves of a pair next to each other."""

    rows: tuple[Example, ...]
    redrawn: int = 0
    """Originals passed over because they have no counterfactual."""
    outside: int = 0
    """Originals of pairs that lie outside what ``plain`` has at the same k and seed."""
    missing: int = 0
    """Pairs asked for and not found; 0 unless failures are dropped instead of redrawn."""
    teacher_disagrees: int | None = None
    """Originals that the teacher reads as another class than gold; None where it was not asked before training."""

    @property
    def pair_yield(self) -> float:
        """Share of the originals looked at that gave a pair; 1.0 for ``plain``."""
        pairs = sum(row.partner is not None for row in self.rows) // 2
        looked_at = pairs + self.redrawn + self.missing
        return pairs / looked_at if looked_at else 1.0


def originals_in_order(pool: Sequence[Example], classes: int, seed: int) -> list[list[Example]]:
    """The pool by class id, each class in the order of this seed: ``[classes][rows]``.

    The order depends on the seed and the inputs, not on the order of the pool's rows.
    """
    order: list[list[Example]] = [[] for _ in range(classes)]
    for example in pool:
        order[example.label].append(example)
    for each in order:
        each.sort(key=lambda example: content_rank("originals", seed, example))
    return order


def originals_by_seed(corpus: Corpus, seeds: Iterable[int]) -> dict[int, list[list[Example]]]:
    """:func:`originals_in_order` for every seed of a recipe."""
    return {seed: originals_in_order(corpus.pool, len(corpus.labels), seed) for seed in seeds}


def check_k(k: int, labels: int, arms: Collection[str]) -> None:
    """Refuse a k that cannot be balanced over the classes, in whole pairs; the error names the nearest k that can."""
    if (fault := imbalance(k, labels, arms)) is not None:
        raise DataError(fault)


def check_pool(k: int, labels: Sequence[str], pool: Sequence[Example], arms: Collection[str]) -> None:
    """Refuse a k that the pool is too small for; the error has the numbers and the largest k that would do."""
    counts = [0] * len(labels)
    for example in pool:
        counts[example.label] += 1
    each = k // len(labels) // (1 if "plain" in arms else 2)
    fewest = min(range(len(labels)), key=lambda label: counts[label])
    if counts[fewest] >= each:
        return
    step = smallest_k(len(labels), arms)
    largest = counts[fewest] * len(labels) * (1 if "plain" in arms else 2) // step * step
    would = f"; the largest k that would do is {largest}" if largest else ""
    raise DataError(
        f"k={k} needs {each:,} originals of each class, and the training pool has {counts[fewest]:,} of the class "
        f"`{labels[fewest]}`{would}"
    )


def originals_per_class(k: int, classes: int, arm: Arm) -> int:
    """How many originals of each class an arm takes at ``k`` training examples."""
    return k // classes if arm == "plain" else k // (2 * classes)


def plain_set(order: Sequence[Sequence[Example]], k: int) -> list[Example]:
    """The first k/classes originals of each class, interleaved: the set of a smaller k is the head of this one."""
    each = originals_per_class(k, len(order), "plain")
    short = next((label for label, rows in enumerate(order) if len(rows) < each), None)
    if short is not None:
        raise DataError(f"k={k} needs {each:,} originals of each class; class {short} has {len(order[short]):,}", "k")
    return list(chain.from_iterable(zip(*(rows[:each] for rows in order), strict=True)))


def first_with_pair(order: Sequence[Example], count: int, pairs: Mapping[str, Pair], *, redraw: bool = True) -> Walk:
    """Walk one class's order and take the first ``count`` originals that have a pair (by the original's id).

    Without ``redraw`` only the first ``count`` originals are looked at, and each without a pair leaves a gap.
    """
    taken: list[Pair] = []
    passed = 0
    for original in order if redraw else order[:count]:
        if len(taken) == count:
            break
        if original.id in pairs:
            taken.append(pairs[original.id])
        else:
            passed += 1
    return Walk(tuple(taken), redrawn=passed if redraw else 0, missing=count - len(taken))


def paired_set(
    order: Sequence[Sequence[Example]], k: int, pairs: Mapping[str, Pair], *, redraw: bool = True
) -> TrainingSet:
    """The first k/2/classes originals of each class that have a counterfactual (or a copy), each followed by it.

    ``pairs`` maps an original's id to its pair; originals without one are absent. Raises :class:`DataError` where a
    class runs out of originals and ``redraw`` is on.
    """
    each = originals_per_class(k, len(order), "cod")
    walks = [first_with_pair(rows, each, pairs, redraw=redraw) for rows in order]
    for label, (walk, rows) in enumerate(zip(walks, order, strict=True)):
        if walk.missing and redraw:
            raise DataError(
                f"k={k} needs {each:,} originals of class {label} with a counterfactual or a copy; "
                f"{len(walk.pairs):,} of its {len(rows):,} rows have one. Take a smaller k, another generator, or "
                "`on_failure: drop`",
                "k",
            )
    plain_count = originals_per_class(k, len(order), "plain")
    plain = {example.id for rows in order for example in rows[:plain_count]}
    taken = [walk.pairs for walk in walks]
    interleaved = [each_class[place] for place in range(each) for each_class in taken if place < len(each_class)]
    return TrainingSet(
        rows=tuple(training_rows(interleaved)),
        redrawn=sum(walk.redrawn for walk in walks),
        outside=sum(pair.original.id not in plain for pair in interleaved),
        missing=sum(walk.missing for walk in walks),
    )


def training_rows(pairs: Iterable[Pair]) -> list[Example]:
    """Each original followed by its counterfactual or copy, each half naming the other as its partner."""
    rows = []
    for pair in pairs:
        rows.append(replace(pair.original, partner=pair.changed.id))
        rows.append(replace(pair.changed, partner=pair.original.id))
    return rows


def training_sets(
    wanted: Iterable[tuple[Arm, int, int]],
    originals: Mapping[int, Sequence[Sequence[Example]]],
    pairs: Mapping[Arm, Mapping[str, Pair]],
    *,
    redraw: bool = True,
) -> dict[tuple[Arm, int, int], TrainingSet]:
    """The training set of every (arm, k, seed) that is wanted.

    ``pairs`` holds, for each arm that has them, the pairs by the original's id. ``redraw`` applies to ``cod``: an
    original of ``control`` whose copy cannot be made is always redrawn.
    """
    sets: dict[tuple[Arm, int, int], TrainingSet] = {}
    for arm, k, seed in dict.fromkeys(wanted):
        order = originals[seed]
        sets[arm, k, seed] = (
            TrainingSet(tuple(plain_set(order, k)))
            if arm == "plain"
            else paired_set(order, k, pairs[arm], redraw=redraw or arm == "control")
        )
    return sets
