"""How much of its original each counterfactual changed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cod_runner.report.figures.drawing import plain
from cod_runner.report.looks import KNOWN, PAPER, TEACHER_COLOUR
from cod_runner.report.statistics import summarise


def minimality(values: Sequence[float]) -> Figure:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=20, range=(0.0, max(1.0, *values)), color=KNOWN["cod"][0], edgecolor=PAPER)
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
    plain(axes)
    return figure
