"""The page of several runs."""

from __future__ import annotations

from dataclasses import dataclass

from cod_runner.report.contents import Report, smallest_p_in_words
from cod_runner.report.page.rendering import render
from cod_runner.report.several import GLANCE_COLUMNS, GLANCE_NOTE, Several
from cod_runner.report.table import Gain, Table
from cod_runner.report.text import cell_parts, gain_grid, pooled_in_words
from cod_runner.report.verdicts import MARKS, VERDICT_COLUMNS


def several_page(together: Several) -> str:
    """The page as HTML: an overview, then each measure run by run, then what the runs share and how they differ."""
    return render(
        "several_runs.html.jinja",
        title=f"{len(together.runs)} runs: {', '.join(run.name for run in together.runs)}",
        together=together,
        glance_columns=GLANCE_COLUMNS,
        glance_note=GLANCE_NOTE,
        table_of=_table_of,
        gains_of=lambda metric: _gains_of(together, metric),
        cell_parts=cell_parts,
        verdict_columns=VERDICT_COLUMNS,
        verdict_marks=MARKS,
    )


def _table_of(report: Report, metric: str) -> Table | None:
    """A run's table of a metric; None if it was not measured."""
    return next((table for table in report.tables if table.metric.name == metric), None)


@dataclass(frozen=True)
class RunGains:
    """What CoD changed in every run, by one metric, in one table."""

    gains: tuple[Gain, ...]
    columns: tuple[str, ...]
    rows: tuple[list[str], ...]
    notes: tuple[str, ...]


def _gains_of(together: Several, metric: str) -> RunGains:
    found: list[tuple[str, Report, Gain]] = []
    for run in together.runs:
        for over_plain, over_others in zip(run.report.gains, run.report.gains_over_others, strict=True):
            mine = [gain for gain in (*over_plain, *over_others) if gain.metric.name == metric]
            found += [(run.name, run.report, gain) for gain in mine]
    gains = tuple(gain for _, _, gain in found)
    columns, rows = gain_grid(gains)
    notes = [smallest_p_in_words(gains)] if gains else []
    for name, floor in dict.fromkeys((name, report.floor) for name, report, _ in found):
        sentences = pooled_in_words([gain for of, _, gain in found if of == name], floor)
        notes += [f"{name}: {' '.join(sentences)}"] if sentences else []
    named = tuple([name, *row] for (name, _, _), row in zip(found, rows, strict=True))
    return RunGains(gains, ("run", *columns), named, tuple(notes))
