"""Several runs beside each other: what they share, how they differ, and each one's tables and gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cod_runner.durations import in_words
from cod_runner.report.contents import Report, build_report
from cod_runner.report.costs import price_in_words
from cod_runner.report.protocol import DECIDES_WHAT_IS_MEASURED, Setting
from cod_runner.report.table import MISSING, pooled
from cod_runner.report.text import number_and_deviation
from cod_runner.report.verdicts import counted_verdicts
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.records import MetricRecord

GLANCE_COLUMNS = ("run", "cells", "teacher", "gain", "better seeds", "expectations", "time", "price")
GLANCE_NOTE = (
    "Gain: the first measure of each run, +CoD minus plain, seed by seed over its settings with a teacher; mean ± "
    "sample standard deviation over seeds."
)


@dataclass(frozen=True)
class NamedReport:
    """A run's report, under the name that tells it apart."""

    name: str
    report: Report

    @property
    def glance(self) -> list[str]:
        """A row of :data:`GLANCE_COLUMNS`."""
        record = self.report.record
        gains = self.report.gains[0] if self.report.gains else ()
        distilled = [gain for gain in gains if gain.method not in self.report.floor] or list(gains)
        together = pooled(distilled)
        accuracy = record.teacher_accuracy
        return [
            self.name,
            f"{len(self.report.rows):,}",
            MISSING if accuracy is None else f"{accuracy:.3f}",
            MISSING if together is None else f"{number_and_deviation(together.summary)} {gains[0].metric.name}",
            MISSING if together is None else f"{together.wins} of {together.summary.n}",
            counted_verdicts(record.verdicts) or MISSING,
            MISSING if record.seconds is None else in_words(record.seconds),
            "unknown" if record.cost is None else price_in_words(record.cost),
        ]


@dataclass(frozen=True)
class Several:
    """Two runs or more, in the order in which they were given."""

    runs: tuple[NamedReport, ...]
    metrics: tuple[MetricRecord, ...]
    """The headline metrics of any of them."""
    shared: tuple[Setting, ...]
    """Settings that are the same in all of them."""
    differing: tuple[tuple[str, ...], ...]
    """(name, its value in each run) of the others."""
    notes: tuple[str, ...]


def several(runs: Sequence[RunFiles]) -> Several:
    """Build every run's report and set them beside each other."""
    names = _names([run.folder for run in runs])
    reports = [
        NamedReport(name, build_report(run.recipe, run.record, run.rows, run.outcomes, run.other_lines))
        for name, run in zip(names, runs, strict=True)
    ]
    settings = [{setting.name: setting.value for setting in each.report.protocol} for each in reports]
    every = list(dict.fromkeys(name for each in settings for name in each))
    values = {name: [each.get(name, MISSING) for each in settings] for name in every}
    differing = {name: found for name, found in values.items() if len(set(found)) > 1}
    metrics = {table.metric.name: table.metric for each in reports for table in each.report.tables}
    notes = []
    unlike = [name for name in DECIDES_WHAT_IS_MEASURED if name in differing]
    if unlike:
        notes.append(
            f"The runs were not measured in the same way (different {' and '.join(unlike)}), so their differences are "
            "not due to the students alone."
        )
    notes += [f"{each.name}: {note}" for each in reports for note in each.report.notes]
    return Several(
        tuple(reports),
        tuple(metrics.values()),
        tuple(Setting(name, found[0]) for name, found in values.items() if name not in differing),
        tuple((name, *found) for name, found in differing.items()),
        tuple(notes),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The names of the folders, with as many of the folders above as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]
