"""A metric over k, and over what the teacher was asked: one panel a method, one line an arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cod_runner.report.contents import Report
from cod_runner.report.figures.drawing import grid_of, in_decades, labelled, line, plain
from cod_runner.report.looks import FLOOR_COLOUR, TEACHER_COLOUR, Look, looks
from cod_runner.report.table import Table, TableRow, arm_name
from cod_runner.runs.records import CellRow


def over_k(report: Report, table: Table) -> Figure:
    distilled, panels = _panels(report, table)
    figure, grid = grid_of(panels)
    look = looks(report.recipe.arms)
    legend: dict[str, Line2D] = {}
    for method, axes in grid:
        for row in table.rows:
            if row.kind == "teacher" and row.cells and row.cells[0].summary is not None:
                axes.axhline(row.cells[0].summary.mean, color=TEACHER_COLOUR, linestyle=":", linewidth=1.4)
                legend["teacher"] = Line2D([], [], color=TEACHER_COLOUR, linestyle=":", linewidth=1.4)
            elif row.method == method and row.kind != "teacher":
                legend[arm_name(row.kind)] = _curve(axes, table, row, look[row.kind], report.rows)
            elif row.method in report.floor and row.kind == "plain" and distilled:
                floor = replace(look["plain"], colour=FLOOR_COLOUR, dodge=0.0)
                legend[f"{row.method}, no teacher"] = _curve(axes, table, row, floor, report.rows)
        _over_doublings(axes, table.k)
    labelled(figure, grid, "training examples k", table.metric.title, legend)
    return figure


def over_queries(report: Report, table: Table) -> Figure:
    """Each arm as a line over k, at the mean number of texts that the teacher read for it."""
    _, panels = _panels(report, table)
    figure, grid = grid_of(panels)
    look = looks(report.recipe.arms)
    asked = {(cost.arm, cost.k): cost.teacher_queries for cost in report.costs}
    legend: dict[str, Line2D] = {}
    for method, axes in grid:
        for row in table.rows:
            if row.method != method or row.kind not in look:
                continue
            points = [
                (queries, cell.summary)
                for k, cell in zip(table.k, row.cells, strict=True)
                if cell.summary is not None
                and math.isfinite(cell.summary.mean)
                and (queries := asked.get((row.kind, k)))
            ]
            means, bars = [summary.mean for _, summary in points], [summary.sd or 0.0 for _, summary in points]
            handle = line(axes, [queries for queries, _ in points], means, bars, look[row.kind])
            legend[arm_name(row.kind)] = handle
        axes.set_xscale("log")
        in_decades(axes.xaxis)
        plain(axes)
    labelled(figure, grid, "texts the teacher read", table.metric.title, legend)
    return figure


def _panels(report: Report, table: Table) -> tuple[list[str], list[str]]:
    """(methods that distil, methods with a panel of their own: these, or the floor where there is nothing else)."""
    distilled = list(dict.fromkeys(row.method for row in table.rows if row.method and row.method not in report.floor))
    return distilled, distilled or list(report.floor)


def _curve(axes: Axes, table: Table, row: TableRow, look: Look, rows: Sequence[CellRow]) -> Line2D:
    """One arm: every seed as a dot, mean and sample standard deviation as a line with bars."""
    places, means, deviations = [], [], []
    for k, cell in zip(table.k, row.cells, strict=True):
        if cell.summary is None or not math.isfinite(cell.summary.mean):
            continue
        places.append(k * 2**look.dodge)
        means.append(cell.summary.mean)
        deviations.append(cell.summary.sd or 0.0)
        seeds = [
            each.metrics[table.metric.name]
            for each in rows
            if (each.method, each.arm, each.k) == (row.method, row.kind, k) and table.metric.name in each.metrics
        ]
        beside = [k * 2 ** (2.2 * look.dodge)] * len(seeds)
        axes.scatter(beside, seeds, s=12, color=look.colour, alpha=0.4, linewidths=0)
    return line(axes, places, means, deviations, look)


def _over_doublings(axes: Axes, k: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(k), [str(each) for each in k])
    axes.minorticks_off()
    axes.set_xlim(min(k) * 2**-0.5, max(k) * 2**0.5)
    plain(axes)
