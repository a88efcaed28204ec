"""Figures as a page shows them: ours in its own colours, light or dark; those of plugins as images."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from cod_runner.report.contents import Report
from cod_runner.report.figures import MINIMALITY, MOST_PANELS, QUERIES, Drawing, training_figure
from cod_runner.report.looks import looks
from cod_runner.report.table import arm_name
from cod_runner.report.theme import themed


@dataclass(frozen=True)
class ShownFigure:
    """One figure, either as ``svg`` or as ``png``."""

    name: str
    caption: str
    svg: Markup | None
    """Its tag without a size: the page gives it one."""
    png: str
    """In base64; empty where there is an ``svg``."""
    width: float = 0.0
    """In points."""


def shown_figures(
    report: Report, drawings: Mapping[str, Drawing], others: Mapping[str, bytes]
) -> dict[str, ShownFigure]:
    """Every figure by name; ``others`` are PNG that plugins drew."""
    captions = _captions(report)
    ours = {
        name: ShownFigure(name, captions[name], Markup(themed(each.svg)), "", each.width)
        for name, each in drawings.items()
    }
    theirs = {
        name: ShownFigure(name, name.replace("_", " ").replace("-", " "), None, base64.b64encode(png).decode("ascii"))
        for name, png in others.items()
        if name not in ours
    }
    return {**theirs, **ours}


def _captions(report: Report) -> dict[str, str]:
    captions = {
        table.metric.name: f"{table.metric.heading} over k. Dots are seeds, bars sample standard deviations; "
        f"{_lines_in_words(report)}."
        for table in report.tables
    }
    if report.tables:
        captions[QUERIES] = (
            f"{report.tables[0].metric.heading} over the texts that the teacher read for a training set; each point is "
            f"one k. Bars are sample standard deviations; {_lines_in_words(report)}."
        )
    captions[MINIMALITY] = "How much of each original a verified counterfactual changed."
    for k in {curve.k for curve in report.curves}:
        captions[training_figure(k)] = _of_training(report, k)
    return captions


def _of_training(report: Report, k: int) -> str:
    curves = [curve for curve in report.curves if curve.k == k]
    seeds = sorted({curve.seeds for curve in curves})
    words = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    words = "one seed" if seeds == [1] else words
    band = "" if seeds == [1] else ", the band from the lowest to the highest"
    left_out = "" if len(curves) <= MOST_PANELS else f" The first {MOST_PANELS} of {len(curves)} panels."
    return f"Each loss term times its weight over the training steps at k = {k}: the mean of {words}{band}.{left_out}"


def _lines_in_words(report: Report) -> str:
    """``plain dashed, +CoD solid``"""
    return ", ".join(f"{arm_name(arm)} {look.line_in_words}" for arm, look in looks(report.recipe.arms).items())
