"""The ``expect:`` entries of a recipe compared with what was measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Literal

from cod_runner.errors import CodrunError
from cod_runner.recipe.expectation import CELL_NUMBERS, CFE_MEASURES, Cells, CfeNumber, Expectation
from cod_runner.runs.baseline import Baseline, read_baseline
from cod_runner.runs.records import CellRow, QualityRow, VerdictRecord

ROUNDING = 1e-12
"""A mean this close to the bound meets it, so that rounding alone is not a miss."""
SMALL = 10
"""From here on two decimals are shown, not four."""
Verdict = Literal["pass", "miss", "not run"]


@dataclass(frozen=True)
class ExpectationResult:
    """One entry and what was measured."""

    expectation: Expectation
    verdict: Verdict
    measured: float | None
    """Mean over ``seeds``, for a ratio the median; None where there is nothing to judge."""
    seeds: tuple[int, ...] = ()
    """Empty for a measure of the counterfactuals, which is of the whole run."""
    deviation: float | None = None
    """Sample standard deviation over seeds; None for fewer than two."""
    reference: float | None = None
    """The other run's number, over the same seeds, where the entry is about one."""
    cause: str = ""
    """Why there is nothing to judge."""

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
        return self.expectation.what

    @property
    def bound(self) -> str:
        """``at least 0.75``, or ``within 0.02 of the run baseline (0.8100)``."""
        there = "" if self.reference is None else f" ({_shown(self.reference)})"
        return self.expectation.bound + there

    @property
    def found(self) -> str:
        """``0.7312 ± 0.0120 over 5 seeds``, or ``nothing``."""
        if self.measured is None:
            return "nothing"
        if not self.seeds:
            return _shown(self.measured)
        kind = "median " if self.expectation.ratio is not None and len(self.seeds) > 1 else ""
        deviation = "" if self.deviation is None else f" ± {_shown(self.deviation, beside=self.measured)}"
        seeds = "seed" if len(self.seeds) == 1 else "seeds"
        return f"{kind}{_shown(self.measured)}{deviation} over {len(self.seeds)} {seeds}"

    @property
    def sentence(self) -> str:
        if self.verdict == "not run":
            return f"{self.what}: {self.bound} expected, not run"
        cause = f": {self.cause}" if self.cause else ""
        return f"{self.what}: {self.bound} expected, {self.found} measured{cause}"

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


class NothingMeasured(Exception):
    """There is no number to judge; the message says why."""


def check_expectations(
    expectations: Sequence[Expectation],
    not_run: Collection[Expectation],
    rows: Sequence[CellRow],
    quality: Sequence[QualityRow] = (),
    folder: Path | None = None,
) -> list[ExpectationResult]:
    """Judge each entry by the mean over seeds, a ratio by the median.

    A gain, a ratio and a comparison with another run are over the seeds that both sides have. ``not_run`` holds the
    entries on cells that a profile or a flag omits; they are listed but never a miss. No cell, no such number, or one
    that is not finite is a miss. ``quality`` has the measures of the counterfactuals, and ``folder`` is the run's
    own, which cannot be its baseline.
    """
    everything = [*expectations, *(each for each in not_run if each not in expectations)]
    ours = Baseline(rows, quality)
    return [
        ExpectationResult(each, "not run", None) if each in not_run else _judge(each, ours, folder)
        for each in everything
    ]


def _judge(wanted: Expectation, ours: Baseline, folder: Path | None) -> ExpectationResult:
    try:
        theirs = None if wanted.of is None else _other_run(Path(wanted.of), folder)
        if wanted.cfes is not None:
            measured, values = _measure(wanted.cfes, ours.quality), {}
            reference = None if theirs is None else _measure(wanted.cfes, theirs.quality)
        else:
            values = _values(wanted, ours.rows)
            reference = None
            if theirs is not None:
                values, others = _in_common(values, _of_the_other(wanted, theirs))
                if not values:
                    raise NothingMeasured(f"this run and {wanted.of} have no seed in common")
                reference = _middle(wanted, others)
            measured = _middle(wanted, values)
    except (NothingMeasured, CodrunError) as error:
        return ExpectationResult(wanted, "miss", None, cause=str(error))
    deviation = stdev(values.values()) if len(values) > 1 and _finite(values.values()) else None
    verdict: Verdict = "pass" if _is_met(wanted, measured, reference) else "miss"
    return ExpectationResult(wanted, verdict, measured, tuple(values), deviation, reference)


def _is_met(wanted: Expectation, measured: float, reference: float | None) -> bool:
    low = -math.inf if wanted.at_least is None else wanted.at_least
    high = math.inf if wanted.at_most is None else wanted.at_most
    if wanted.within is not None and reference is not None:
        low, high = reference - wanted.within, reference + wanted.within
    return math.isfinite(measured) and low - ROUNDING <= measured <= high + ROUNDING


def _values(wanted: Expectation, rows: Sequence[CellRow]) -> dict[int, float]:
    """The number by seed: of the cells, or of the cells over others."""
    ours, *others = (_by_seed(rows, cells, wanted.number) for cells in wanted.cells)
    if not others:
        return ours
    ours, over = _in_common(ours, others[0])
    if not ours:
        first, second = wanted.cells
        raise NothingMeasured(f"the cells of {first.in_words} and of {second.in_words} have no seed in common")
    if wanted.gain is not None:
        return {seed: ours[seed] - over[seed] for seed in ours}
    if 0 in over.values():
        raise NothingMeasured(f"`{wanted.number}` of {wanted.cells[1].in_words} is 0, so there is no ratio")
    return {seed: ours[seed] / over[seed] for seed in ours}


def _by_seed(rows: Sequence[CellRow], cells: Cells, number: str) -> dict[int, float]:
    found = [row for row in rows if (row.method, row.arm, row.k) == (cells.method, cells.arm, cells.k)]
    if not found:
        raise NothingMeasured(f"no cell of {cells.in_words} is finished")
    values = {row.seed: value for row in found if (value := _number(row, number)) is not None}
    if not values:
        raise NothingMeasured(f"the cells of {cells.in_words} have no `{number}`")
    return dict(sorted(values.items()))


def _number(row: CellRow, name: str) -> float | None:
    value = row.metrics.get(name)
    if value is None and name in CELL_NUMBERS:
        value = getattr(row, name)
    return None if value is None else float(value)


def _middle(wanted: Expectation, values: Mapping[int, float]) -> float:
    return median(values.values()) if wanted.ratio is not None else fmean(values.values())


def _measure(name: CfeNumber, quality: Sequence[QualityRow]) -> float:
    title, column = CFE_MEASURES[name]
    row = next((each for each in quality if each.name == title), None)
    if row is None:
        raise NothingMeasured("no counterfactual was searched")
    value = getattr(row, column)
    if not isinstance(value, int | float):
        raise NothingMeasured("no counterfactual has that measure")
    return float(value)


def _other_run(of: Path, folder: Path | None) -> Baseline:
    try:
        if folder is not None and of.is_dir() and of.resolve() == folder.resolve():
            raise NothingMeasured(f"{of} is the folder of this very run; name another with `of`, or with --out")
        return read_baseline(of)
    except OSError as error:
        raise NothingMeasured(f"{of} cannot be read ({error.strerror}); mend its permissions") from error


def _of_the_other(wanted: Expectation, theirs: Baseline) -> dict[int, float]:
    try:
        return _values(wanted, theirs.rows)
    except NothingMeasured as error:
        raise NothingMeasured(f"in {wanted.of}, {error}") from error


def _in_common(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[dict[int, float], dict[int, float]]:
    seeds = [seed for seed in ours if seed in theirs]
    return {seed: ours[seed] for seed in seeds}, {seed: theirs[seed] for seed in seeds}


def _finite(values: Collection[float]) -> bool:
    return all(map(math.isfinite, values))


def _shown(value: float, beside: float | None = None) -> str:
    """With as many decimals as the number has that it stands beside."""
    small = abs(value if beside is None else beside) < SMALL
    return f"{value:,.4f}" if small else f"{value:,.2f}"
