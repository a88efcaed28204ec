"""A run's results as plain data, for programs: ``codrun RECIPE --json``."""

from __future__ import annotations

from typing import Any

from cod_runner.recipe.arms import COD
from cod_runner.report.contents import Report
from cod_runner.report.table import Gain


def results_json(report: Report) -> dict[str, Any]:
    """``cells``, as lines of ``cells.jsonl``, and ``gains``, as the report's tables have them."""
    gains = [gain for of_metric in (*report.gains, *report.gains_over_others) for gain in of_metric]
    return {"cells": [row.to_json() for row in report.rows], "gains": [_gain(gain) for gain in gains]}


def _gain(gain: Gain) -> dict[str, Any]:
    pairs = gain.pairs
    return {
        "metric": gain.metric.name,
        "higher_is_better": gain.metric.higher_is_better,
        "method": gain.method,
        "arm": COD,
        "over": gain.over,
        "k": gain.k,
        "mean": pairs.summary.mean,
        "deviation": pairs.summary.sd,
        "seeds": list(gain.seeds),
        "differences": list(gain.differences),
        "wins": pairs.wins,
        "losses": pairs.losses,
        "p": pairs.p,
        "smallest_possible_p": pairs.smallest_possible_p,
    }
