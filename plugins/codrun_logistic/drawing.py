"""Estimation errors over |w|, one row per way to label CFEs, one column per part of the error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cod_runner.api import default_figure_style
from codrun_logistic.simulation import LABELS, PARTS, Label, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TITLES = {"along": "along w", "orthogonal": "orthogonal to w", "total": "total"}


@default_figure_style()
def draw(path: Path, points: Sequence[Point]) -> None:
    """``points`` are those of one dimension; bars are 95% intervals of the mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(len(LABELS), len(PARTS), squeeze=False, sharex=True, sharey="col")
    for row, label in enumerate(LABELS):
        for column, part in enumerate(PARTS):
            axis = axes[row, column]
            _lines(axis, points, label, part)
            _logarithmic(axis, points, part)
            axis.set_title(f"{TITLES[part]}; CFE's label: {label}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("|w|, how sure the teacher is")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean squared error")
    figure.suptitle(f"Theorem 1, simulated in {points[0].dimension} dimensions", fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _lines(axis: Axes, points: Sequence[Point], label: Label, part: str) -> None:
    """A line for `plain`, and one for the CFEs of each overshoot."""
    overshoots = sorted({point.overshoot for point in points})
    lines = [("plain", "black", [(p.norm, p.plain[part]) for p in points if p.overshoot == overshoots[0]])]
    for number, overshoot in enumerate(overshoots):
        means = [(p.norm, p.cod[part]) for p in points if p.overshoot == overshoot and p.label == label]
        lines.append((f"cod, overshoot {overshoot:g}", COLOURS[number % len(COLOURS)], means))
    for name, colour, means in lines:
        chosen = sorted(dict(means).items())
        axis.errorbar(
            [norm for norm, _ in chosen],
            [each.mean for _, each in chosen],
            yerr=[each.half for _, each in chosen],
            color=colour,
            label=name,
            marker="o",
            markersize=3,
            linewidth=1.2,
            capsize=2,
        )


def _logarithmic(axis: Axes, points: Sequence[Point], part: str) -> None:
    norms = sorted({point.norm for point in points})
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    # An interval that reaches 0 would stretch a logarithmic axis endlessly, so the means set its range.
    means = [each.mean for point in points for each in (point.plain[part], point.cod[part])]
    axis.set_ylim(0.5 * min(means), 2 * max(means))
    axis.set_xticks(norms, [f"{norm:g}" for norm in norms])
