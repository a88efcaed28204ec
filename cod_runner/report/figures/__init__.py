"""The figures of a report, as PNG and as SVG. Imports matplotlib: from here nothing may come into a light command."""

from __future__ import annotations

import math

from cod_runner.figure_style import default_figure_style
from cod_runner.report.contents import Report
from cod_runner.report.figures.drawing import Drawing, drawing
from cod_runner.report.figures.minimality import minimality
from cod_runner.report.figures.over_k import over_k, over_queries
from cod_runner.report.figures.training import training

__all__ = ["MINIMALITY", "MOST_PANELS", "QUERIES", "Drawing", "draw_figures", "training_figure"]

QUERIES, MINIMALITY = "teacher_queries", "minimality"
"""The names of the figures over what the teacher was asked, and of the counterfactuals' changes."""
MOST_PANELS = 30
"""Of a figure of training curves: methods times arms."""


def training_figure(k: int) -> str:
    """The name of the figure of the training curves at one k."""
    return f"training-k{k}"


@default_figure_style()
def draw_figures(report: Report) -> dict[str, Drawing]:
    """Figures by name: a learning curve over k per headline metric, the first of them over the teacher's queries, the
    counterfactuals' minimality, and for each k the training curves."""
    figures = {}
    for table in report.tables:
        if any(cell.summary is not None for row in table.rows if row.kind != "teacher" for cell in row.cells):
            figures[table.metric.name] = drawing(table.metric.name, over_k(report, table))
    if len(report.recipe.arms) > 1 and any(cost.teacher_queries for cost in report.costs):
        figures[QUERIES] = drawing(QUERIES, over_queries(report, report.tables[0]))
    changes = [
        float(line["minimality"])
        for line in report.outcomes
        if line.get("verified")
        and isinstance(line.get("minimality"), int | float)
        and math.isfinite(line["minimality"])
    ]
    if changes:
        figures[MINIMALITY] = drawing(MINIMALITY, minimality(changes))
    for k in sorted({curve.k for curve in report.curves}):
        curves = [curve for curve in report.curves if curve.k == k][:MOST_PANELS]
        figures[training_figure(k)] = drawing(training_figure(k), training(curves))
    return figures
