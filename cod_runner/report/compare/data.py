"""A comparison as data, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cod_runner.report.compare.conclusion import conclusion, outcome, reasons_to_fail
from cod_runner.report.compare.runs import Comparison, Difference, MetricComparison
from cod_runner.report.compare.verdict import ALPHA, Verdict
from cod_runner.report.statistics import PairedComparison


def data_of(comparisons: Sequence[Comparison], notes: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that comparisons hold, with notes on all of them; a number that is not finite is None.

    ``verdict`` is one of the four verdicts or ``nothing compared``, ``failures`` what ``--fail-on-regression`` goes by,
    in words, and ``regressed`` whether there is any.
    """
    found: dict[str, Any] = _finite(
        {
            "verdict": str(outcome(comparisons)),
            "regressed": bool(reasons_to_fail(comparisons)),
            "sentence": conclusion(comparisons),
            "failures": reasons_to_fail(comparisons),
            "alpha": ALPHA,
            "notes": list(notes),
            "comparisons": [_one(each) for each in comparisons],
        }
    )
    return found


def _one(comparison: Comparison) -> dict[str, Any]:
    return {
        "title": comparison.title or None,
        "first": comparison.first,
        "second": comparison.second,
        "verdict": str(outcome([comparison])),
        "metrics": [_metric(each) for each in comparison.metrics],
        "missing": [
            {"method": each.method, "arm": each.arm, "k": each.k, "seed": each.seed, "why": each.why}
            for each in comparison.missing
        ],
        "settings": [{"name": name, "first": first, "second": second} for name, first, second in comparison.settings],
        "notes": list(comparison.notes),
    }


def _metric(compared: MetricComparison) -> dict[str, Any]:
    metric = compared.metric
    return {
        "name": metric.name,
        "title": metric.title,
        "higher_is_better": metric.higher_is_better,
        "tolerance": compared.tolerance,
        "regressions": sum(each.judgement.verdict is Verdict.REGRESSION for each in compared.differences),
        "overall": _pairs(compared.overall),
        "differences": [_difference(each) for each in compared.differences],
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {
        "method": each.method,
        "arm": each.arm,
        "k": each.k,
        "seeds": list(each.seeds),
        "first": {"mean": each.first, "values": [first for first, _ in each.values]},
        "second": {"mean": each.second, "values": [second for _, second in each.values]},
        "difference": _pairs(each.pairs),
        "verdict": str(each.judgement.verdict),
        "p_worse": each.judgement.p_worse,
        "p_better": each.judgement.p_better,
        "detectable_drop": each.judgement.detectable,
    }


def _pairs(pairs: PairedComparison) -> dict[str, Any]:
    return {
        "mean": pairs.summary.mean,
        "sd": pairs.summary.sd,
        "seeds": pairs.summary.n,
        "better": pairs.wins,
        "worse": pairs.losses,
        "sign_flip_p": pairs.p,
        "smallest_possible_sign_flip_p": pairs.smallest_possible_p,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
