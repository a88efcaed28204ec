"""How sure the students are, and how sure they may be: calibration error before and after their temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.statistics import Summary, summarise
from cod_runner.report.table import MISSING, in_order
from cod_runner.runs.records import CellRow, RunRecord

CALIBRATION_TITLE = "Calibration"
CALIBRATION_COLUMNS = ("method", "arm", "k", "held-out rows", "temperature", "ECE", "calibrated ECE")
CALIBRATION_NOTE = (
    "Expected calibration error on the evaluation split (lower is better), as trained and with the logits divided by "
    "the student's temperature; mean ± sample standard deviation over seeds. The temperature is fitted on held-out "
    "rows of the pool, and saved with the student, whose labels it does not change."
)
NOT_FITTED_NOTE = (
    f"(n = …) or {MISSING}: not every student has a temperature, since its held-out rows are too few, or all right."
)


@dataclass(frozen=True)
class Calibrated:
    """One method, arm and k over its seeds."""

    method: str
    arm: str
    k: int
    cells: int
    rows: Summary
    """Held-out rows of a cell."""
    temperature: Summary | None
    before: Summary
    after: Summary | None
    """Of the students that have a temperature."""

    @property
    def words(self) -> list[str]:
        """A row of :data:`CALIBRATION_COLUMNS`."""
        low, high = int(self.rows.smallest), int(self.rows.largest)
        rows = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        fitted = [self._told(self.temperature, 2), self._told(self.before, 3), self._told(self.after, 3)]
        return [self.method, self.arm, str(self.k), rows, *fitted]

    @property
    def incomplete(self) -> bool:
        """Whether some of its students have no temperature."""
        return self.after is None or self.after.n < self.cells

    def _told(self, summary: Summary | None, decimals: int) -> str:
        if summary is None:
            return MISSING
        deviation = "" if summary.sd is None else f" ± {summary.sd:.{decimals}f}"
        return f"{summary.mean:.{decimals}f}{deviation}" + (f" (n = {summary.n})" if summary.n < self.cells else "")


def calibrations(recipe: Recipe, rows: Sequence[CellRow]) -> list[Calibrated]:
    """Every method, arm and k with finished cells, in the order of the tables; none for cells of an older codrun."""
    found = []
    for method in recipe.methods:
        for arm in in_order(recipe.arms):
            for k in sorted(recipe.k):
                cells = [row for row in rows if (row.method, row.arm, row.k) == (method, arm, k)]
                before = summarise([row.calibration_error for row in cells if row.calibration_error is not None])
                held_out = summarise([row.held_out_rows for row in cells if row.held_out_rows is not None])
                if before is None or held_out is None:
                    continue
                temperature = summarise([row.temperature for row in cells if row.temperature is not None])
                after = summarise([row.calibrated_error for row in cells if row.calibrated_error is not None])
                found.append(Calibrated(method, arm, k, len(cells), held_out, temperature, before, after))
    return found


def calibration_notes(found: Sequence[Calibrated]) -> list[str]:
    """What the columns mean, and why some numbers are missing."""
    return [CALIBRATION_NOTE, *([NOT_FITTED_NOTE] if any(each.incomplete for each in found) else [])]


def held_out_in_words(record: RunRecord, rows: Sequence[CellRow]) -> str | None:
    """How many gold labels are read beside k; None where none is, or an older codrun made the cells."""
    most = max((row.held_out_rows or 0 for row in rows), default=0)
    if not most:
        return None
    labels = record.held_out_labels
    counted = "" if labels is None else f", {labels:,} in all" + (" of a fold" if record.folds else "")
    return (
        f"at most {most:,} rows of the pool that a student was not trained on{counted}; their gold labels are read "
        "beside k: they calibrate the students and compare them, and train none"
    )
