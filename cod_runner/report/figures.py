"""The figures of a report, as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cod_runner.figure_style import default_figure_style
from cod_runner.plain_text import one_line
from cod_runner.recipe.messages import shortened
from cod_runner.report.contents import Report
from cod_runner.report.looks import FLOOR_COLOUR, KNOWN, TEACHER_COLOUR, Look, looks
from cod_runner.report.statistics import summarise
from cod_runner.report.table import Table, TableRow, arm_name
from cod_runner.runs.records import CellRow

DOTS_PER_INCH = 144
LEGEND_KEY, LEGEND_CHARACTER, LEGEND_LINE = 0.62, 0.085, 0.2
"""Inches: the width of a legend's line and marker, of a character of its label, and the height of one of its lines."""
LONGEST_LABEL = 40
"""Characters of an axis's label."""
QUERIES = "teacher_queries"
"""The name of the figure over what the teacher was asked."""


@default_figure_style()
def draw_figures(report: Report) -> dict[str, bytes]:
    """PNG by name: a learning curve over k per headline metric, the first of them over the teacher's queries, and the
    counterfactuals' minimality."""
    figures = {}
    for table in report.tables:
        if any(cell.summary is not None for row in table.rows if row.kind != "teacher" for cell in row.cells):
            figures[table.metric.name] = _png(_over_k(report, table))
    if len(report.recipe.arms) > 1 and any(cost.teacher_queries for cost in report.costs):
        figures[QUERIES] = _png(_over_queries(report, report.tables[0]))
    minimality = [
        float(line["minimality"])
        for line in report.outcomes
        if line.get("verified")
        and isinstance(line.get("minimality"), int | float)
        and math.isfinite(line["minimality"])
    ]
    if minimality:
        figures["minimality"] = _png(_minimality(minimality))
    return figures


def _over_k(report: Report, table: Table) -> Figure:
    distilled, panels = _panels(report, table)
    figure, grid = _grid(panels)
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
    _labelled(figure, grid, "training examples k", table.metric.title, legend)
    return figure


def _over_queries(report: Report, table: Table) -> Figure:
    """Each arm as a line over k, at the mean number of texts that the teacher read for it."""
    _, panels = _panels(report, table)
    figure, grid = _grid(panels)
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
            handle = _line(axes, [queries for queries, _ in points], means, bars, look[row.kind])
            legend[arm_name(row.kind)] = handle
        axes.set_xscale("log")
        _plain(axes)
    _labelled(figure, grid, "texts the teacher read", table.metric.title, legend)
    return figure


def _panels(report: Report, table: Table) -> tuple[list[str], list[str]]:
    """(methods that distil, methods with a panel of their own: these, or the floor where there is nothing else)."""
    distilled = list(dict.fromkeys(row.method for row in table.rows if row.method and row.method not in report.floor))
    return distilled, distilled or list(report.floor)


def _grid(panels: Sequence[str]) -> tuple[Figure, list[tuple[str, Axes]]]:
    """A figure with axes for each panel, three beside each other at most."""
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.4 + 3.6 * columns, 0.9 + 2.9 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat)
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    return figure, list(zip(panels, axes, strict=False))


def _labelled(
    figure: Figure, grid: Sequence[tuple[str, Axes]], over: str, title: str, legend: Mapping[str, Line2D]
) -> None:
    """Titles, the labels of the outer axes, and the legend below."""
    columns = min(3, len(grid))
    for place, (method, axes) in enumerate(grid):
        axes.set_title(method, fontsize=11, fontweight="bold", loc="left", parse_math=False)
        if place % columns == 0:
            axes.set_ylabel(_label(title), parse_math=False)
        if place + columns >= len(grid):
            axes.set_xlabel(over)
            axes.tick_params(labelbottom=True)
    inches = figure.get_size_inches()[0] / (LEGEND_KEY + LEGEND_CHARACTER * max(map(len, legend), default=0))
    across = max(1, min(5, len(legend), int(inches)))
    lines = math.ceil(len(legend) / across)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * max(0, lines - 1))
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=across, frameon=False)


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
    return _line(axes, places, means, deviations, look)


def _line(
    axes: Axes, places: Sequence[float], means: Sequence[float], deviations: Sequence[float], look: Look
) -> Line2D:
    """Means with bars, joined; returns what stands for the line in a legend."""
    axes.errorbar(
        places, means, yerr=deviations, color=look.colour, linestyle=look.line, marker=look.marker, markersize=5,
        capsize=3, linewidth=1.8, elinewidth=1.1,
    )  # fmt: skip
    return Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=5, linewidth=1.8)


def _over_doublings(axes: Axes, k: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(k), [str(each) for each in k])
    axes.minorticks_off()
    axes.set_xlim(min(k) * 2**-0.5, max(k) * 2**0.5)
    _plain(axes)


def _minimality(values: Sequence[float]) -> Figure:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=20, range=(0.0, max(1.0, *values)), color=KNOWN["cod"][0], edgecolor="white")
    summary = summarise(values)
    if summary is not None:
        axes.axvline(summary.mean, color=TEACHER_COLOUR, linestyle="--", linewidth=1.4)
        axes.annotate(
            f"mean {summary.mean:.2f}", (summary.mean, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", va="bottom", ha="center", color=TEACHER_COLOUR,
        )  # fmt: skip
    axes.set_xlabel("edits / words of the original (smaller is closer)")
    axes.set_ylabel("verified pairs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    return figure


def _label(title: str) -> str:
    """A plugin's title on one line that fits a panel; `$` in it is not a formula, which could be a wrong one."""
    return shortened(one_line(title), LONGEST_LABEL)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DOTS_PER_INCH)
    return out.getvalue()
