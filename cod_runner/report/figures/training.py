"""Training curves: one panel for each method and arm, one line for each loss term, a band from seed to seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cod_runner.report.curves import TrainingCurve
from cod_runner.report.figures.drawing import grid_of, in_decades, labelled, plain
from cod_runner.report.looks import term_looks
from cod_runner.report.table import arm_name

BAND = 0.18
"""Opacity."""


def training(curves: Sequence[TrainingCurve]) -> Figure:
    """The curves of one k."""
    names = [f"{curve.method}, {arm_name(curve.arm)}" for curve in curves]
    figure, grid = grid_of(names)
    look = term_looks(dict.fromkeys(term.term for curve in curves for term in curve.terms))
    legend: dict[str, Line2D] = {}
    for curve, (_, axes) in zip(curves, grid, strict=True):
        for term in curve.terms:
            colour, style = look[term.term]
            axes.plot(curve.steps, term.mean, color=colour, linestyle=style, linewidth=1.5)
            if curve.seeds > 1:
                axes.fill_between(curve.steps, term.lowest, term.highest, color=colour, alpha=BAND, linewidth=0)
            legend[term.term] = Line2D([], [], color=colour, linestyle=style, linewidth=1.5)
        plain(axes)
    if all(value > 0 for curve in curves for term in curve.terms for value in term.lowest):
        grid[0][1].set_yscale("log")  # the axes of all panels are one
        in_decades(grid[0][1].yaxis)
    labelled(figure, grid, "step", "loss term x weight", legend)
    return figure
