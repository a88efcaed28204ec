"""What came of the recipe's expectations, in words and marks that do not depend on colour: for every form of report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cod_runner.report.table import MISSING
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


def verdict_words(verdict: VerdictRecord) -> list[str]:
    """A row of :data:`VERDICT_COLUMNS`."""
    return [verdict.what, verdict.bound, MISSING if verdict.verdict == "not run" else verdict.found, verdict.verdict]


def notes_on_verdicts(verdicts: Sequence[VerdictRecord]) -> list[str]:
    """Why nothing was measured, where nothing was, and how many expectations did not run."""
    empty = [each.sentence for each in verdicts if each.verdict == "miss" and each.measured is None]
    return [*empty, *filter(None, [_not_run_in_words(verdicts)])]


def _not_run_in_words(verdicts: Sequence[VerdictRecord]) -> str:
    """How many expectations were not judged, and why; "" where all were."""
    count = sum(each.verdict == "not run" for each in verdicts)
    if not count:
        return ""
    return (
        f"{count} of {len(verdicts)} expectations did not run, since a profile or a flag leaves out their cells; with "
        "--strict that is a miss."
    )
