"""Where a run's time and money went, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.durations import in_words
from cod_runner.report.costs import price_in_words
from cod_runner.runs.records import StageRecord

STAGES_TITLE = "Time and money"
STAGE_COLUMNS = ("stage", "time", "model calls", "tokens", "price")
STAGES_NOTE = "All calls of the run together; what an earlier run left in the store took no time here."


@dataclass(frozen=True)
class ShownStage:
    """One stage, and its parts of the whole from 0 to 1; the whole itself has none."""

    name: str
    time: str
    calls: str
    tokens: str
    price: str
    part_of_time: float
    part_of_money: float


def shown_stages(stages: Sequence[StageRecord]) -> list[ShownStage]:
    """Every stage, and all of them together where there are several."""
    seconds = sum(stage.seconds for stage in stages)
    usd = sum(stage.usd or 0.0 for stage in stages)
    shown = [_shown(stage, seconds, usd) for stage in stages]
    if len(stages) > 1:
        known = None if any(stage.usd is None for stage in stages) else usd
        calls, tokens = sum(stage.calls for stage in stages), sum(stage.tokens for stage in stages)
        together = StageRecord(name="all", seconds=seconds, calls=calls, tokens=tokens, usd=known)
        shown.append(_shown(together, 0.0, 0.0))
    return shown


def _shown(stage: StageRecord, seconds: float, usd: float) -> ShownStage:
    return ShownStage(
        stage.name,
        in_words(stage.seconds),
        f"{stage.calls:,}",
        f"{stage.tokens:,}",
        "unknown" if stage.usd is None else price_in_words(stage.usd),
        _part(stage.seconds, seconds),
        _part(stage.usd or 0.0, usd),
    )


def _part(value: float, whole: float) -> float:
    return min(1.0, max(0.0, value / whole)) if whole > 0 else 0.0
