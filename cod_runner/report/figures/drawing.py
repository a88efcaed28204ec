"""What all figures share: panels, labels, a legend below, and how a figure becomes files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from cod_runner.plain_text import one_line, shortened
from cod_runner.report.looks import GRID_COLOUR, Look

DOTS_PER_INCH = 144
LEGEND_KEY, LEGEND_CHARACTER, LEGEND_LINE = 0.62, 0.085, 0.2
"""Inches: the width of a legend's line and marker, of a character of its label, and the height of one of its lines."""
LONGEST_LABEL = 40
"""Characters of an axis's label."""


@dataclass(frozen=True)
class Drawing:
    """One figure, in light colours."""

    png: bytes
    svg: str
    """With its texts as texts; the same bytes for the same numbers."""
    width: float
    """In points, as the SVG has it."""


def drawing(name: str, figure: Figure) -> Drawing:
    """Both forms of a figure. ``name`` keeps the names of shapes in its SVG apart from those of other figures."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.set_dpi(DOTS_PER_INCH)
    FigureCanvasAgg(figure).print_png(png)  # `savefig` gives the same bytes, but draws twice for each form
    figure.set_layout_engine("none")  # it stays as it was laid out
    without_date = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(svg, metadata=without_date)
    return Drawing(png.getvalue(), svg.getvalue(), 72 * float(figure.get_size_inches()[0]))


def grid_of(panels: Sequence[str]) -> tuple[Figure, list[tuple[str, Axes]]]:
    """A figure with axes for each panel, three beside each other at most."""
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.4 + 3.6 * columns, 0.9 + 2.9 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat)
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    return figure, list(zip(panels, axes, strict=False))


def labelled(
    figure: Figure, grid: Sequence[tuple[str, Axes]], over: str, title: str, legend: Mapping[str, Line2D]
) -> None:
    """Titles, the labels of the outer axes, and the legend below."""
    columns = min(3, len(grid))
    for place, (method, axes) in enumerate(grid):
        axes.set_title(method, fontsize=11, fontweight="bold", loc="left", parse_math=False)
        if place % columns == 0:
            axes.set_ylabel(label(title), parse_math=False)
        if place + columns >= len(grid):
            axes.set_xlabel(over)
            axes.tick_params(labelbottom=True)
    inches = figure.get_size_inches()[0] / (LEGEND_KEY + LEGEND_CHARACTER * max(map(len, legend), default=0))
    across = max(1, min(5, len(legend), int(inches)))
    lines = math.ceil(len(legend) / across)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * max(0, lines - 1))
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=across, frameon=False)


def line(
    axes: Axes, places: Sequence[float], means: Sequence[float], deviations: Sequence[float], look: Look
) -> Line2D:
    """Means with bars, joined; returns what stands for the line in a legend."""
    axes.errorbar(
        places, means, yerr=deviations, color=look.colour, linestyle=look.line, marker=look.marker, markersize=5,
        capsize=3, linewidth=1.8, elinewidth=1.1,
    )  # fmt: skip
    return Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=5, linewidth=1.8)


def in_decades(axis: Axis) -> None:
    """A logarithmic axis with numbers as one writes them: 0.02, 0.05, 0.1, ..."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def label(title: str) -> str:
    """A plugin's title on one line that fits a panel; `$` in it is not a formula, which could be a wrong one."""
    return shortened(one_line(title), LONGEST_LABEL)


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.7)
    axes.set_axisbelow(True)
