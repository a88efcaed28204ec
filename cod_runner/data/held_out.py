"""Rows of the pool that a student was not trained on: they calibrate it, and say which student to ship."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cod_runner.api import Example
from cod_runner.data.content import content_rank
from cod_runner.data.fewshot import TrainingSet
from cod_runner.data.near_duplicates import NearDuplicates

HELD_OUT_ROWS = 200
"""The most rows of a cell. The standard error of an accuracy on them is at most .035."""


class HeldOutRows:
    """Draws the held-out rows of training sets from one pool."""

    def __init__(self, pool: Sequence[Example], seen: Collection[str] = ()) -> None:
        """``seen`` are ids of rows that no student may be held to, since all of them have learnt from them: those that
        trained the teacher that they are cut from."""
        fresh = [row for row in pool if row.id not in seen]
        self._ranked = sorted(fresh, key=lambda row: content_rank("held out", 0, row))

    def of(self, training: TrainingSet) -> tuple[Example, ...]:
        """The first :data:`HELD_OUT_ROWS` rows, in an order that depends on their texts alone, that ``training`` does
        not hold, and whose text does not equal or nearly equal one that it holds; fewer where there are not so many.

        They are the same for every method, and nearly the same for every arm, k and seed. Their labels train nothing.
        """
        held = {row.id for row in (*training.rows, *training.originals, *training.lenders)}
        learnt = NearDuplicates(training.rows)
        rows: list[Example] = []
        for row in self._ranked:
            if len(rows) == HELD_OUT_ROWS:
                break
            if row.id not in held and learnt.nearest(row.input, None) is None:
                rows.append(row)
        return tuple(rows)
