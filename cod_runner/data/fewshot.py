"""Few-shot training sets: k, seeds, balance, nesting, arms.

One order of originals per seed and class (or one for all, where an arm is not balanced). An arm without additions takes
the first k/classes of each; one with them walks the same order and takes the first k/classes/group whose group can be
made. So the set of a smaller k lies inside the set of a larger one, and which originals are taken never depends on a
verdict about another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from cod_runner.api import DataError, Example
from cod_runner.data.content import by_class, content_rank
from cod_runner.recipe.arms import Arm
from cod_runner.recipe.balance import imbalance, smallest_k


@dataclass(frozen=True)
class Group:
    """An original and what an arm adds to it: counterfactuals, near misses or copies."""

    original: Example
    added: tuple[Example, ...]


@dataclass(frozen=True)
class Walk:
    """The originals of one part that an arm took, and those that it passed over on the way."""

    taken: tuple[Example, ...]
    passed: tuple[Example, ...]
    """Originals whose group cannot be made."""
    missing: int
    """Originals asked for and not found."""


@dataclass(frozen=True)
class Cost:
    """What a training set needed besides its labels."""

    teacher_queries: int = 0
    """Distinct texts that the teacher read, gradients counted as one more: the rows themselves, all candidates of every
    original that was looked at, and what a selector or chooser asked about."""
    embedded: int = 0
    """Texts that a selector's encoder embedded."""
    generator_calls: int = 0
    """Answers and candidates that generators gave, refused ones included."""
    usd: float | None = 0.0
    """What they cost when they were made; None where a price is unknown."""
    teacher_usd: float | None = None
    """What the teacher's answers cost; None where it is not paid, or a price is unknown."""


@dataclass(frozen=True)
class TrainingSet:
    """What one student trains on: ``rows``, classes interleaved, the members of a group next to each other."""

    rows: tuple[Example, ...]
    originals: tuple[Example, ...] = ()
    """Those among the rows, in the order in which they were drawn."""
    passed: tuple[Example, ...] = ()
    """Originals that were looked at and passed over, because what is added to them could not be made."""
    lenders: tuple[Example, ...] = ()
    """The originals whose counterfactuals are among the rows without them (``of: others``)."""
    redrawn: int = 0
    """How many of those passed over were replaced by the next in order."""
    outside: int = 0
    """Originals that lie outside what an arm without additions has at the same k and seed."""
    missing: int = 0
    """Groups asked for and not found; 0 unless failures are dropped instead of redrawn."""
    teacher_disagrees: int | None = None
    """Originals that the teacher reads as another class than gold; None where it was not asked before training."""
    held_out: tuple[Example, ...] = ()
    """Rows of the pool beside the set: they calibrate the student and compare it with others, and train none."""
    cost: Cost = Cost()

    @property
    def labelled(self) -> int:
        """Rows with a person's label: the originals."""
        return len(self.originals)

    @property
    def added(self) -> int:
        """Rows with a label that are no originals."""
        return sum(row.label is not None for row in self.rows) - len(self.originals)

    @property
    def unlabelled(self) -> int:
        """Rows with the teacher's word alone."""
        return sum(row.label is None for row in self.rows)

    @property
    def group_yield(self) -> float:
        """Share of the originals looked at whose group could be made; 1.0 where nothing is added."""
        found = len(self.originals) + len(self.lenders)
        looked_at = found + self.redrawn + self.missing
        return found / looked_at if looked_at else 1.0


def in_random_order(rows: Sequence[Example], seed: int) -> list[Example]:
    """The rows in the order of this seed, which depends on it and the inputs, not on the order of the rows."""
    return sorted(rows, key=lambda example: content_rank("originals", seed, example))


def originals_in_order(pool: Sequence[Example], classes: int, seed: int) -> list[list[Example]]:
    """The pool by class id, each class in the random order of this seed: ``[classes][rows]``."""
    return [in_random_order(part, seed) for part in by_class(pool, classes)]


def check_k(k: int, labels: int, arms: Mapping[str, Arm]) -> None:
    """Refuse a k that cannot be balanced over the classes, in whole groups; the error names the nearest k that can."""
    if (fault := imbalance(k, labels, arms)) is not None:
        raise DataError(fault)


def check_pool(k: int, labels: Sequence[str], pool: Sequence[Example], arms: Mapping[str, Arm]) -> None:
    """Refuse a k that the pool is too small for; the error has the numbers and the largest k that would do."""
    classes = len(labels)
    counts = [len(part) for part in by_class(pool, classes)]
    fewest = min(range(classes), key=lambda label: counts[label])

    def short(size: int) -> list[Arm]:
        """The arms that look at more originals than there are, the one that looks at most first."""

        def wants(arm: Arm) -> int:
            return originals_looked_at(arm, size, classes)

        lacking = [arm for arm in arms.values() if wants(arm) > (counts[fewest] if arm.balanced else sum(counts))]
        return sorted(lacking, key=wants, reverse=True)

    wanting = short(k)
    if not wanting:
        return
    step = smallest_k(classes, arms)
    largest = next((size for size in range(k // step * step, 0, -step) if not short(size)), 0)
    would = f"; the largest k that would do is {largest}" if largest else ""
    each = originals_looked_at(wanting[0], k, classes)
    if not wanting[0].balanced:
        raise DataError(f"k={k} needs {each:,} originals, and the training pool has {sum(counts):,} rows{would}")
    raise DataError(
        f"k={k} needs {each:,} originals of each class, and the training pool has {counts[fewest]:,} of the class "
        f"`{labels[fewest]}`{would}"
    )


def originals_looked_at(arm: Arm, k: int, classes: int) -> int:
    """How many originals of each class an arm looks at, redraws not counted: twice its own, where what it adds belongs
    to others."""
    return arm.originals(k, classes) * (1 if arm.of == "own" else 2)


class TooFewOriginals(Exception):
    """A training set cannot be drawn: a part of the pool has too few originals that can be used."""

    def __init__(self, label: int | None, wanted: int, found: int) -> None:
        super().__init__(f"{wanted} originals of the class {label} are wanted, and {found} can be used")
        self.label, self.wanted, self.found = label, wanted, found


def walked(order: Sequence[Example], count: int, usable: Callable[[Example], bool], *, redraw: bool = True) -> Walk:
    """Walk one part's order and take the first ``count`` usable originals.

    Without ``redraw`` only the first ``count`` originals are looked at, and each that is not usable leaves a gap.
    """
    taken: list[Example] = []
    passed: list[Example] = []
    for original in order if redraw else order[:count]:
        if len(taken) == count:
            break
        (taken if usable(original) else passed).append(original)
    return Walk(tuple(taken), tuple(passed), count - len(taken))


def drawn(
    arm: Arm,
    k: int,
    order: Sequence[Sequence[Example]],
    usable: Callable[[Example], bool] = lambda original: True,
    *,
    redraw: bool = True,
) -> TrainingSet:
    """The originals of an arm at ``k``, as a set without additions yet: ``rows`` are the originals, interleaved.

    Raises :class:`TooFewOriginals` where a part runs out of usable originals and ``redraw`` is on.
    """
    each = k // (len(order) * arm.group)
    wanted = each if arm.of == "own" else 2 * each
    walks = [walked(rows, wanted, usable, redraw=redraw) for rows in order]
    for part, walk in enumerate(walks):
        if walk.missing and redraw:
            raise TooFewOriginals(part if arm.balanced else None, wanted, len(walk.taken))
    plain = {example.id for rows in order for example in rows[: k // len(order)]}
    # Where some are missing, every original still needs another that lends it what is added.
    halves = [each if arm.of == "own" else min(each, len(walk.taken) // 2) for walk in walks]
    originals = _interleaved([walk.taken[:half] for walk, half in zip(walks, halves, strict=True)])
    lent = [walk.taken[half : 2 * half] for walk, half in zip(walks, halves, strict=True)]
    return TrainingSet(
        rows=originals,
        originals=originals,
        passed=tuple(chain.from_iterable(walk.passed for walk in walks)),
        lenders=_interleaved(lent) if arm.of == "others" else (),
        redrawn=sum(len(walk.passed) for walk in walks) if redraw else 0,
        outside=sum(original.id not in plain for original in originals),
        missing=sum(walk.missing for walk in walks),
    )


def with_additions(chosen: TrainingSet, groups: Mapping[str, Group]) -> TrainingSet:
    """The set with what is added to each original (by its id), or with what was added to the lenders."""
    if not chosen.lenders:
        return replace(chosen, rows=tuple(training_rows(groups[original.id] for original in chosen.originals)))
    lent = [groups[lender.id].added for lender in chosen.lenders]
    rows = [row for original, added in zip(chosen.originals, lent, strict=True) for row in (original, *added)]
    return replace(chosen, rows=tuple(rows))


def training_rows(groups: Iterable[Group]) -> list[Example]:
    """Each original followed by what is added to it; an original names the first of it as its partner, and each of it
    names the original."""
    rows = []
    for group in groups:
        rows.append(replace(group.original, partner=group.added[0].id))
        rows.extend(replace(added, partner=group.original.id) for added in group.added)
    return rows


def _interleaved(parts: Sequence[Sequence[Example]]) -> tuple[Example, ...]:
    """The first of each part, then the second of each: parts may be of unequal length."""
    longest = max((len(part) for part in parts), default=0)
    return tuple(part[place] for place in range(longest) for part in parts if place < len(part))
