"""Write a run's report, at its end or again from its files alone."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cod_runner.files import write_whole
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.sections import NAME
from cod_runner.registry import Registry
from cod_runner.report.card import write_cards
from cod_runner.report.contents import Report, build_report
from cod_runner.report.curves import read_losses
from cod_runner.report.latex import latex
from cod_runner.report.made_of import digest_of, read_written, remember
from cod_runner.report.text import csv_text, markdown
from cod_runner.runs.reading import read_run
from cod_runner.runs.records import CellRow, RunRecord

PNG = b"\x89PNG\r\n\x1a\n"
FORMER = re.compile(r"training-k\d+\.png")
"""Figures of ours that are drawn anew as long as there is something to draw: of a k that the run had once."""
LARGEST_FIGURE = 20_000_000
"""Bytes of an image that a plugin drew."""


def write_reports(
    folder: Path,
    recipe: Recipe,
    record: RunRecord,
    rows: Sequence[CellRow],
    outcomes: Sequence[Mapping[str, Any]] = (),
    other_lines: int = 0,
    *,
    anew: bool = False,
) -> Report:
    """Write ``table.md``, ``table.csv``, ``table.tex``, ``figures/*.png`` and ``*.svg``, ``report.html`` and every
    student's card into ``folder``, each atomically. Training curves are read from ``folder/training``.

    ``rows`` are the recipe's own cells (:func:`cod_runner.runs.reading.current_rows`), ``outcomes`` the lines of
    ``counterfactuals.jsonl``, ``other_lines`` the number of lines of ``cells.jsonl`` that are not the recipe's.
    Where all of them are there as they were written last, and would be the same, nothing is drawn or written, unless
    ``anew`` asks for it. Returns the report, for the terminal.
    """
    report = build_report(recipe, record, rows, outcomes, other_lines, read_losses(folder, rows))
    former = read_written(folder)
    if anew or former.made_of != digest_of(report, folder, former.files) or not former.is_there(folder):
        written = _write(folder, report)
        ours = [path.relative_to(folder).as_posix() for path in written]
        remember(folder, digest_of(report, folder, ours), written)
    return report


def _write(folder: Path, report: Report) -> list[Path]:
    """Every file of the report, and which they are."""
    from cod_runner.report.figures import draw_figures
    from cod_runner.report.page.one_run import page

    write_whole(folder / "table.md", markdown(report))
    write_whole(folder / "table.csv", csv_text(report))
    write_whole(folder / "table.tex", latex(report))
    figures = draw_figures(report)
    files = {name: _file_name(name, number) for number, name in enumerate(figures)}
    for name, drawn in figures.items():
        write_whole(folder / "figures" / f"{files[name]}.png", drawn.png)
        write_whole(folder / "figures" / f"{files[name]}.svg", drawn.svg)
    others = _drawn_by_others(folder, {f"{file}.png" for file in files.values()})
    write_whole(folder / "report.html", page(report, figures, others))
    images = [folder / "figures" / f"{file}.{form}" for file in files.values() for form in ("png", "svg")]
    tables = [folder / name for name in ("table.md", "table.csv", "table.tex", "report.html")]
    return [*tables, *images, *write_cards(folder, report)]


def write_reports_again(folder: Path, registry: Registry) -> Report:
    """``codrun report RUN``: the same from the run's files; raises :class:`CodrunError` where one is unreadable.

    The registry supplies only what an older ``run.json`` lacks.
    """
    run = read_run(folder, registry)
    return write_reports(folder, run.recipe, run.record, run.rows, run.outcomes, run.other_lines, anew=True)


def _file_name(figure: str, number: int) -> str:
    """``accuracy``; a metric with a name that cannot be a file's gets its number among the figures."""
    return figure if NAME.fullmatch(figure) else f"metric-{number + 1}"


def _drawn_by_others(folder: Path, ours: Collection[str]) -> dict[str, bytes]:
    """Images that a plugin wrote into ``figures/`` (decision boundaries, say); the page shows them too.

    Only files that are images are read: a run's folder may come from a stranger, with links to anything.
    """
    drawn = {}
    for path in sorted(folder.glob("figures/*.png")):
        if (
            path.name not in ours
            and not FORMER.fullmatch(path.name)
            and stat.S_ISREG(path.lstat().st_mode)
            and path.stat().st_size <= LARGEST_FIGURE
        ):
            content = path.read_bytes()
            if content.startswith(PNG):
                drawn[path.stem] = content
    return drawn
