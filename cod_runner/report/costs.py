"""What each arm's training sets are made of, and what they needed: labels, texts, teacher queries, calls, money."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.table import MISSING, in_order
from cod_runner.runs.records import CellRow

COSTS_TITLE = "What each arm needs"
COST_COLUMNS = (
    "arm", "k", "labelled", "added", "unlabelled", "teacher queries", "embedded", "generator calls", "price",
    "teacher's price",
)  # fmt: skip
COSTS_NOTE = (
    "Means over seeds. Labelled: texts with a person's label; added: texts that the arm adds, labelled by the teacher "
    "or as their original; unlabelled: texts beside k with the teacher's word alone. Teacher queries: distinct texts "
    "that it read for the set, the candidates of the search included, and gradients. Embedded: texts of the pool that "
    "a selector's encoder read. Generator calls: answers and candidates, refused ones included; their price is that of "
    "the day when they were made."
)
TEACHER_PRICE_NOTE = (
    "The teacher's price: its queries, at the mean price of its answers about the texts that students train on."
)


@dataclass(frozen=True)
class ArmCost:
    """One arm at one k, as means over its seeds; None where no cell records it."""

    arm: str
    k: int
    labelled: float | None
    added: float | None
    unlabelled: float | None
    teacher_queries: float | None
    embedded: float | None
    generator_calls: float | None
    usd: float | None
    teacher_usd: float | None = None
    """None also for a teacher that is a network."""

    @property
    def numbers(self) -> list[float | None]:
        """All but arm and k."""
        return [
            self.labelled, self.added, self.unlabelled, self.teacher_queries, self.embedded, self.generator_calls,
            self.usd, self.teacher_usd,
        ]  # fmt: skip

    @property
    def words(self) -> list[str]:
        """A row of :data:`COST_COLUMNS`."""
        *counts, usd, teacher_usd = self.numbers
        return [self.arm, str(self.k), *map(_count, counts), price_in_words(usd), price_in_words(teacher_usd)]


def cost_grid(costs: Sequence[ArmCost]) -> tuple[tuple[str, ...], list[list[str]]]:
    """(columns, rows) of the table; without the teacher's price where no arm has one."""
    rows = [cost.words for cost in costs]
    if any(cost.teacher_usd is not None for cost in costs):
        return COST_COLUMNS, rows
    return COST_COLUMNS[:-1], [row[:-1] for row in rows]


def cost_notes(costs: Sequence[ArmCost]) -> list[str]:
    """What its columns mean."""
    priced = any(cost.teacher_usd is not None for cost in costs)
    return [COSTS_NOTE, TEACHER_PRICE_NOTE] if priced else [COSTS_NOTE]


def arm_costs(recipe: Recipe, rows: Sequence[CellRow]) -> Iterator[ArmCost]:
    """Every arm and k that some finished cell is of, in the order of the tables; none for cells of an older codrun."""
    for arm in in_order(recipe.arms):
        for k in sorted(recipe.k):
            # Methods share the training set of a seed, so each seed counts once.
            cells = list({row.seed: row for row in rows if (row.arm, row.k) == (arm, k)}.values())
            if any(cell.labelled is not None for cell in cells):
                yield ArmCost(
                    arm,
                    k,
                    _mean([cell.labelled for cell in cells]),
                    _mean([cell.added for cell in cells]),
                    _mean([cell.unlabelled for cell in cells]),
                    _mean([cell.teacher_queries for cell in cells]),
                    _mean([cell.embedded for cell in cells]),
                    _mean([cell.generator_calls for cell in cells]),
                    _mean([cell.usd for cell in cells]),
                    _mean([cell.teacher_usd for cell in cells]),
                )


def _count(mean: float | None) -> str:
    return MISSING if mean is None else f"{mean:,.1f}".removesuffix(".0")


def price_in_words(usd: float | None) -> str:
    """``$0.0021``; a dash where it is not known."""
    if usd is None:
        return MISSING
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}" if usd else "$0"


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is unknown."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
