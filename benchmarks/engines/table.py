"""The table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from engines.measuring import Measured, ratio
from engines.work import EPOCHS, Method, Work


def table(method: Method, work: Work, measured: Sequence[Measured]) -> str:
    """One row for each contender; the first is ours, to which ratios refer."""
    ours = measured[0]
    steps = EPOCHS * work.steps_per_epoch
    once = ours.whole(steps, 1)
    lines = [
        f"| {method.name}, {method.precision} | ms a step | times codrun's step | largest difference of a weight "
        f"| {EPOCHS} epochs, evaluated once | evaluated each epoch |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in measured:
        weights = "" if one.equality is None else f"{one.equality.largest:.0e}"
        cells = [
            one.name,
            f"{1000 * one.step:,.0f}",
            f"{ratio(one, ours):.2f}",
            "" if one is ours else weights,
            _whole(one.whole(steps, 1), once),
            _whole(one.whole(steps, EPOCHS), once),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _whole(seconds: float | None, ours: float | None) -> str:
    """Minutes, and how many of ours with one evaluation."""
    return "" if seconds is None or ours is None else f"{seconds / 60:,.1f} min, {seconds / ours:.1f}"
