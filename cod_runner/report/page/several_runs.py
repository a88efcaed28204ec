"""The page of several runs, as HTML and as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import SettingError
from cod_runner.files import write_whole
from cod_runner.registry import Registry
from cod_runner.report.contents import Report, smallest_p_in_words
from cod_runner.report.page.rendering import render
from cod_runner.report.several import GLANCE_COLUMNS, GLANCE_NOTE, Several, several
from cod_runner.report.table import Gain, Table
from cod_runner.report.text import cell_parts, gain_grid, pooled_in_words
from cod_runner.report.verdicts import MARKS, VERDICT_COLUMNS
from cod_runner.runs.reading import read_run


def write_several(folders: Sequence[Path], out: Path, registry: Registry) -> Path:
    """``codrun report RUN RUN``: one page of several runs, at ``out/report.html``, which is returned.

    Raises :class:`SettingError` for a run that is named twice, and for an ``out`` that is a run's folder, whose own
    page it would replace; :class:`CodrunError` for a run that cannot be read.
    """
    counted = Counter(folder.resolve() for folder in folders)
    twice = next((folder for folder in folders if counted[folder.resolve()] > 1), None)
    if twice is not None:
        raise SettingError(f"{twice} is named twice; a page of several runs needs different ones")
    if (out / "recipe.yaml").exists():
        raise SettingError(
            f"{out} is the folder of a run, whose report.html would be replaced; give another folder with --out"
        )
    together = several([read_run(folder, registry) for folder in folders])
    write_whole(out / "report.html", several_page(together))
    return out / "report.html"


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
