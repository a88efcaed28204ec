"""Which of a run's students to ship: by held-out rows of the pool, never by the evaluation split.

A student that is chosen by its accuracy on the split that is reported looks better than it is. Held-out rows train no
student and are in no table; what they choose keeps its accuracy there.

Measured on 72 students of Rotten Tomatoes and 96 of two moons: mean accuracy on the evaluation split of what is chosen
of 24 (6 settings, 4 seeds; 400 draws), where the mean student has .572 and .807 and the best .668 and .897:

====================================  ============  ============  ============
held-out rows                         5             20            200
====================================  ============  ============  ============
this rule                             .593 .843     .611 .866     .647 .885
the setting's mean, then the seed     .594 .844     .610 .866     .645 .878
the cell alone                        .589 .819     .609 .866     .646 .886
accuracy instead of cross-entropy     .584 .825     .605 .858     .647 .884
by protocol                           .560 .838     .558 .838     .557 .835
====================================  ============  ============  ============
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

from cod_runner.errors import CodrunError
from cod_runner.runs.records import CellRow

STEADYING_ROWS = 20
"""A cell's loss counts as though its setting's mean loss had been seen on so many rows more."""

Setting: TypeAlias = tuple[str, str, int]
"""(method, arm, k)."""


@dataclass(frozen=True)
class RankedSetting:
    """The cells of one method, arm and k, the best seed first."""

    setting: Setting
    rows: tuple[CellRow, ...]
    loss: float | None
    """Mean of :attr:`CellRow.held_out_loss` over its seeds; None where the protocol ranks."""
    accuracy: float | None
    """The same of :attr:`CellRow.held_out_accuracy`."""

    @property
    def expected_loss(self) -> float | None:
        """Of its best seed: its own loss on n held-out rows, and the setting's mean on :data:`STEADYING_ROWS` more. n
        is the mean over the seeds, so that these keep the order of their own losses."""
        own = self.rows[0].held_out_loss
        if own is None or self.loss is None:
            return None
        n = fmean(row.held_out_rows or 0 for row in self.rows)
        return (n * own + STEADYING_ROWS * self.loss) / (n + STEADYING_ROWS)

    def trained_as(self, other: RankedSetting) -> bool:
        """Whether each seed scores as in another arm of the same method and k, to the last bit."""

        def scores(setting: RankedSetting) -> dict[int, tuple[float | None, float | None]]:
            return {row.seed: (row.held_out_loss, row.held_out_accuracy) for row in setting.rows}

        (method, _, k), (others, _, other_k) = self.setting, other.setting
        return (method, k) == (others, other_k) and scores(self) == scores(other)

    @property
    def name(self) -> str:
        """``kd cod k=16``."""
        method, arm, k = self.setting
        return f"{method} {arm} k={k}"


@dataclass(frozen=True)
class Choice:
    """The cell to ship, and what speaks for it."""

    row: CellRow
    by: Literal["held-out loss", "protocol"]
    settings: tuple[RankedSetting, ...]
    """All of them, the best first; the cell is the first row of the first."""
    passed_over: int
    """Cells that no held-out row scored, where others were."""

    @property
    def held_out_rows(self) -> int:
        """How many rows the choice rests on; 0 for a choice by protocol."""
        return (self.row.held_out_rows or 0) if self.by == "held-out loss" else 0

    @property
    def equals(self) -> tuple[RankedSetting, ...]:
        """Further arms in which the method trains the same students, seed by seed, as losses of hard labels alone do
        where an arm adds texts without a label."""
        if self.by == "protocol":
            return ()
        best = self.settings[0]
        return tuple(each for each in self.settings[1:] if each.trained_as(best))

    @property
    def _rival(self) -> RankedSetting | None:
        """The best of the other settings."""
        return next((each for each in self.settings[1:] if each not in self.equals), None)

    @property
    def runner_up(self) -> CellRow | None:
        """The cell that would be chosen without the setting of this one, and its :attr:`equals`, or without its seed
        where there is one setting; None where there is one cell."""
        if self._rival is not None:
            return self._rival.rows[0]
        return self.settings[0].rows[1] if len(self.settings[0].rows) > 1 else None

    @property
    def ahead(self) -> float | None:
        """How much larger the loss of the runner-up is, in nats; of another setting: the expected loss."""
        if self.by == "protocol" or self.runner_up is None:
            return None
        if self._rival is not None:
            return _known(self._rival.expected_loss) - _known(self.settings[0].expected_loss)
        return _known(self.runner_up.held_out_loss) - _known(self.row.held_out_loss)

    @property
    def sentences(self) -> list[str]:
        """What was chosen, by what, how clearly, and what the reader must know of it."""
        best, row = self.settings[0], self.row
        seeds = f"{len(best.rows)} seed{'' if len(best.rows) == 1 else 's'}"
        if self.by == "protocol":
            told = [
                f"chosen: {best.name}, seed {row.seed}, by protocol, since no cell has held-out rows: the largest k, "
                "then a method with a teacher, then an arm that adds texts, then the smallest seed"
            ]
        else:
            told = [
                f"chosen: {best.name}, seed {row.seed}: the smallest cross-entropy on held-out rows, "
                f"{_known(row.held_out_loss):.3f} nats, accuracy {_known(row.held_out_accuracy):.3f} "
                f"({self.held_out_rows} rows, none of the evaluation split; over its setting's {seeds} "
                f"{_known(best.loss):.3f}, which counts as {STEADYING_ROWS} rows more)"
            ]
        told += [
            f"{each.name} is the same student: its method learns nothing from what sets these arms apart"
            for each in self.equals
        ]
        if self.runner_up is not None and self.ahead is not None:
            other = self.runner_up
            next_best = f"{other.method} {other.arm} k={other.k}, seed {other.seed}"
            told.append(f"runner-up: {next_best}, {self.ahead:.3f} nats behind")
        if self.passed_over:
            told.append(
                f"passed over: {self.passed_over} cells that no held-out row scored; run them again with --fresh to "
                "compare them"
            )
        return told


def choose(rows: Sequence[CellRow], *, without_teacher: Collection[str] = ()) -> Choice:
    """The cell to ship, from held-out rows alone: the one of the smallest loss on them, steadied by its setting's mean
    (:attr:`RankedSetting.expected_loss`); of equal ones the higher accuracy, then as by protocol.

    Where no cell has a held-out score, the protocol decides: the largest k, a method with a teacher
    (``without_teacher`` names the others), an arm that adds texts, the names, the smallest seed. Raises
    :class:`CodrunError` where there is no row.
    """
    if not rows:
        raise CodrunError("no cell is finished, so there is none to choose; run the recipe first")
    scored = [row for row in rows if is_scored(row)]
    settings = [_ranked(setting, of_setting) for setting, of_setting in by_setting(scored or rows).items()]
    settings.sort(
        key=lambda each: (_worth(each.expected_loss, each.accuracy), _protocol(each.rows[0], without_teacher))
    )
    return Choice(
        row=settings[0].rows[0],
        by="held-out loss" if scored else "protocol",
        settings=tuple(settings),
        passed_over=len(rows) - len(scored) if scored else 0,
    )


def by_setting(rows: Iterable[CellRow]) -> dict[Setting, list[CellRow]]:
    """The rows of each setting, in their order."""
    found: dict[Setting, list[CellRow]] = {}
    for row in rows:
        found.setdefault(row.setting, []).append(row)
    return found


def is_scored(row: CellRow) -> bool:
    """Whether held-out rows say something of the cell."""
    return row.held_out_loss is not None and math.isfinite(row.held_out_loss)


def _ranked(setting: Setting, rows: Sequence[CellRow]) -> RankedSetting:
    ordered = sorted(rows, key=lambda row: (_worth(row.held_out_loss, row.held_out_accuracy), row.seed, row.key))
    losses = [row.held_out_loss for row in ordered if row.held_out_loss is not None]
    accuracies = [row.held_out_accuracy for row in ordered if row.held_out_accuracy is not None]
    return RankedSetting(
        setting, tuple(ordered), fmean(losses) if losses else None, fmean(accuracies) if accuracies else None
    )


def _worth(loss: float | None, accuracy: float | None) -> tuple[float, float]:
    """A sort key: the smaller loss first, then the higher accuracy."""
    return math.inf if loss is None else loss, -(accuracy or 0.0)


def _protocol(row: CellRow, without_teacher: Collection[str]) -> tuple[int, bool, bool, str, str]:
    return -row.k, row.method in without_teacher, not row.added, row.method, row.arm


def _known(value: float | None) -> float:
    return math.nan if value is None else value
