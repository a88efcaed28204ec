"""The figures of a report, as PNG, in Okabe and Ito's colours, which colour-blind readers can tell apart."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cod_runner.figure_style import default_figure_style
from cod_runner.plain_text import one_line
from cod_runner.recipe.grammar import Arm
from cod_runner.recipe.messages import shortened
from cod_runner.report.contents import Report
from cod_runner.report.statistics import summarise
from cod_runner.report.table import ARM_NAMES, Table, TableRow
from cod_runner.runs.records import CellRow

ARM_COLOURS: dict[Arm, str] = {"plain": "#0072B2", "control": "#CC79A7", "cod": "#D55E00"}
ARM_LINES: dict[Arm, Literal["-", "--", "-."]] = {"plain": "--", "control": "-.", "cod": "-"}
ARM_MARKERS: dict[Arm, str] = {"plain": "s", "control": "^", "cod": "o"}
FLOOR_COLOUR, TEACHER_COLOUR = "#009E73", "#555555"
DOTS_PER_INCH = 144
LONGEST_LABEL = 40
"""Characters of an axis's label."""
DODGE: dict[Arm, float] = {"plain": -0.06, "control": 0.0, "cod": 0.06}
"""Shift along the axis, in doublings of k, that keeps the error bars of the arms apart."""


@default_figure_style()
def draw_figures(report: Report) -> dict[str, bytes]:
    """PNG by name: a learning curve over k per headline metric, and the counterfactuals' minimality."""
    figures = {}
    for table in report.tables:
        if any(cell.summary is not None for row in table.rows if row.kind != "teacher" for cell in row.cells):
            figures[table.metric.name] = _png(_over_k(report, table))
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
    distilled = list(dict.fromkeys(row.method for row in table.rows if row.method and row.method not in report.floor))
    panels = distilled or list(report.floor)
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.4 + 3.6 * columns, 0.9 + 2.9 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    legend: dict[str, Line2D] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        method = panels[place]
        for row in table.rows:
            if row.kind == "teacher" and row.cells and row.cells[0].summary is not None:
                axes.axhline(row.cells[0].summary.mean, color=TEACHER_COLOUR, linestyle=":", linewidth=1.4)
                legend["teacher"] = Line2D([], [], color=TEACHER_COLOUR, linestyle=":", linewidth=1.4)
            elif row.method == method and row.kind != "teacher":
                legend[ARM_NAMES[row.kind]] = _curve(axes, table, row, row.kind, report.rows)
            elif row.method in report.floor and row.kind == "plain" and distilled:
                legend[f"{row.method}, no teacher"] = _curve(axes, table, row, "plain", report.rows, FLOOR_COLOUR)
        axes.set_title(method, fontsize=11, fontweight="bold", loc="left", parse_math=False)
        _over_doublings(axes, table.k)
        if place % columns == 0:
            axes.set_ylabel(_label(table.metric.title), parse_math=False)
        if place + columns >= len(panels):
            axes.set_xlabel("training examples k")
            axes.tick_params(labelbottom=True)
    handles = list(legend.values())
    figure.legend(handles, list(legend), loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
    return figure


def _curve(
    axes: Axes, table: Table, row: TableRow, arm: Arm, rows: Sequence[CellRow], colour: str | None = None
) -> Line2D:
    """One arm: every seed as a dot, mean and sample standard deviation as a line with bars."""
    dodge = DODGE[arm] if colour is None else 0.0
    colour = colour or ARM_COLOURS[arm]
    places, means, deviations = [], [], []
    for k, cell in zip(table.k, row.cells, strict=True):
        if cell.summary is None or not math.isfinite(cell.summary.mean):
            continue
        places.append(k * 2**dodge)
        means.append(cell.summary.mean)
        deviations.append(cell.summary.sd or 0.0)
        seeds = [
            each.metrics[table.metric.name]
            for each in rows
            if (each.method, each.arm, each.k) == (row.method, arm, k) and table.metric.name in each.metrics
        ]
        axes.scatter([k * 2 ** (2.2 * dodge)] * len(seeds), seeds, s=12, color=colour, alpha=0.4, linewidths=0)
    line, marker = ARM_LINES[arm], ARM_MARKERS[arm]
    axes.errorbar(
        places, means, yerr=deviations, color=colour, linestyle=line, marker=marker, markersize=5, capsize=3,
        linewidth=1.8, elinewidth=1.1,
    )  # fmt: skip
    return Line2D([], [], color=colour, linestyle=line, marker=marker, markersize=5, linewidth=1.8)


def _over_doublings(axes: Axes, k: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(k), [str(each) for each in k])
    axes.minorticks_off()
    axes.set_xlim(min(k) * 2**-0.5, max(k) * 2**0.5)
    _plain(axes)


def _minimality(values: Sequence[float]) -> Figure:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=20, range=(0.0, max(1.0, *values)), color=ARM_COLOURS["cod"], edgecolor="white")
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
