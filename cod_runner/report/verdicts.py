"""What came of the recipe's expectations, in words and marks that do not depend on colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cod_runner.runs.records import VerdictRecord

VERDICTS_TITLE = "Expectations"
VERDICT_COLUMNS = ("expected", "bound", "measured", "verdict")
SAID = {"miss": "missed", "not run": "not run", "pass": "met"}
MARKS = {"pass": "✓", "miss": "✗", "not run": "–"}


def verdicts_in_words(verdicts: Sequence[VerdictRecord]) -> str:
    """``Expectations: 1 missed, 1 not run, 2 met.``; "" where there are none."""
    counted = counted_verdicts(verdicts)
    return f"Expectations: {counted}." if counted else ""


def counted_verdicts(verdicts: Sequence[VerdictRecord]) -> str:
    """``1 missed, 1 not run, 2 met``; "" where there are none."""
    counted: Counter[str] = Counter(verdict.verdict for verdict in verdicts)
    return ", ".join(f"{counted[each]} {said}" for each, said in SAID.items() if counted[each])
