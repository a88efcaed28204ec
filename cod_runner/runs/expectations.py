"""The ``expect:`` entries of a recipe compared with what was measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from cod_runner.recipe.grammar import Expectation
from cod_runner.runs.records import CellRow, VerdictRecord

ROUNDING = 1e-12
"""A mean this close to the bound meets it, so that rounding alone is not a miss."""
Verdict = Literal["pass", "miss", "not run"]


@dataclass(frozen=True)
class ExpectationResult:
    """One entry and what was measured."""

    expectation: Expectation
    verdict: Verdict
    measured: float | None
    """Mean over ``seeds``; None where no cell has the metric."""
    seeds: tuple[int, ...] = ()

    @property
    def missed(self) -> bool:
        return self.verdict == "miss"

    @property
    def ran(self) -> bool:
        """Whether its cells were to run; False where a profile or a flag leaves them out."""
        return self.verdict != "not run"

    @property
    def what(self) -> str:
        """``accuracy, kd, cod, k = 16``."""
        wanted = self.expectation
        if wanted.gain is not None:
            return f"gain of {wanted.gain} ({' - '.join(wanted.compared)}), {wanted.method}, k = {wanted.k}"
        return f"{wanted.metric}, {wanted.method}, {wanted.arm}, k = {wanted.k}"

    @property
    def bound(self) -> str:
        """``at least 0.75``."""
        bounds = [("at least", self.expectation.at_least), ("at most", self.expectation.at_most)]
        return ", ".join(f"{words} {value:g}" for words, value in bounds if value is not None)

    @property
    def found(self) -> str:
        """``0.7312 over 5 seeds``."""
        if self.measured is None:
            return "nothing"
        count = len(self.seeds)
        return f"{self.measured:.4f} over {count} {'seed' if count == 1 else 'seeds'}"

    @property
    def sentence(self) -> str:
        if self.verdict == "not run":
            return f"{self.what}: {self.bound} expected, not run"
        return f"{self.what}: {self.bound} expected, {self.found} measured"

    @property
    def record(self) -> VerdictRecord:
        """It as ``run.json`` holds it."""
        return VerdictRecord(
            what=self.what,
            bound=self.bound,
            found=self.found,
            verdict=self.verdict,
            measured=self.measured,
            seeds=list(self.seeds),
            sentence=self.sentence,
        )


def check_expectations(
    expectations: Sequence[Expectation], not_run: Collection[Expectation], rows: Sequence[CellRow]
) -> list[ExpectationResult]:
    """Judge each entry by the mean over seeds.

    A gain is the mean over the seeds that both arms have. ``not_run`` holds the entries on cells that a profile or
    a flag omits; they are listed but never a miss. No cell, no such metric, or a mean that is not finite is a miss.
    """
    everything = [*expectations, *(each for each in not_run if each not in expectations)]
    return [ExpectationResult(each, "not run", None) if each in not_run else _judge(each, rows) for each in everything]


def _judge(wanted: Expectation, rows: Sequence[CellRow]) -> ExpectationResult:
    if wanted.gain is not None:
        ours, over = (_by_seed(rows, wanted, arm, wanted.gain) for arm in wanted.compared)
        values = {seed: ours[seed] - over[seed] for seed in sorted(set(ours) & set(over))}
    else:
        values = _by_seed(rows, wanted, str(wanted.arm), str(wanted.metric))
    if not values:
        return ExpectationResult(wanted, "miss", None)
    measured = fmean(values.values())
    low = -math.inf if wanted.at_least is None else wanted.at_least
    high = math.inf if wanted.at_most is None else wanted.at_most
    met = math.isfinite(measured) and low - ROUNDING <= measured <= high + ROUNDING
    return ExpectationResult(wanted, "pass" if met else "miss", measured, tuple(values))


def _by_seed(rows: Sequence[CellRow], wanted: Expectation, arm: str, metric: str) -> dict[int, float]:
    return {
        row.seed: row.metrics[metric]
        for row in rows
        if (row.method, row.arm, row.k) == (wanted.method, arm, wanted.k) and metric in row.metrics
    }
