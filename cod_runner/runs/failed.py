"""Cells that ran and whose numbers cannot be used: they have no line in ``cells.jsonl``, and run again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

MOST_NAMED = 6
"""Cells that a sentence names; the rest is counted."""
CURE = "once that is mended, the same command runs them again and repeats nothing else"


class FailedCell(BaseModel):
    """A cell one of whose metrics is not a finite number, or whose student's logits are not."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    key: str
    method: str
    arm: str
    k: int
    seed: int
    name: str
    """``kd-cod-k8-s0``."""
    cause: str
    """``the metric `f1` is nan``."""

    @property
    def sentence(self) -> str:
        return f"the cell {self.name} failed: {self.cause}"


def not_numbers(values: Mapping[str, Any], metrics: Collection[str]) -> dict[str, float]:
    """Those of the metrics whose value is infinite or NaN."""
    found = {name: values.get(name) for name in metrics}
    return {name: value for name, value in found.items() if isinstance(value, float) and not math.isfinite(value)}


def cause_of(metrics: Mapping[str, float], logits_are_finite: bool) -> str | None:
    """Why a cell cannot be used, in words; None where it can."""
    if not logits_are_finite:
        return "the student's logits on the evaluation split are infinite or NaN (try a smaller `train.lr`)"
    wrong = not_numbers(metrics, metrics)
    if not wrong:
        return None
    told = " and ".join(f"`{name}` is {value}" for name, value in wrong.items())
    return f"the {'metric' if len(wrong) == 1 else 'metrics'} {told}"


def failed_in_words(failed: Sequence[FailedCell]) -> str:
    """``2 cells failed: the metric `f1` is nan (kd-cod-k8-s0, kd-cod-k8-s1)``; "" where none did."""
    if not failed:
        return ""
    causes = dict.fromkeys(each.cause for each in failed)
    named = [f"{cause} ({_listed([each.name for each in failed if each.cause == cause])})" for cause in causes]
    return f"{len(failed)} {'cell' if len(failed) == 1 else 'cells'} failed: {'; '.join(named)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
