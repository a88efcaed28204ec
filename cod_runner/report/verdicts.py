"""What came of the recipe's expectations, in words and marks that do not depend on colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cod_runner.runs.records import VerdictRecord

VERDICTS_TITLE = "Expectations"
VERDICT_COLUMNS = ("expected", "bound", "measured", "verdict")
MARKS = {"pass": "✓", "miss": "✗", "not run": "–"}


def verdicts_in_words(verdicts: Sequence[VerdictRecord]) -> str:
    """``1 of 3 expectations was missed, 1 was not run.``, or ``All 3 expectations were met.``"""
    counted = Counter(verdict.verdict for verdict in verdicts)
    total = len(verdicts)
    if not total:
        return ""
    if counted["pass"] == total:
        return "The expectation was met." if total == 1 else f"All {total} expectations were met."
    words = [
        f"{counted[verdict]} {'was' if counted[verdict] == 1 else 'were'} {said}"
        for verdict, said in (("miss", "missed"), ("not run", "not run"), ("pass", "met"))
        if counted[verdict]
    ]
    return f"Of {total} {'expectation' if total == 1 else 'expectations'} {', '.join(words)}."
