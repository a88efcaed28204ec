"""`codrun report` and `codrun compare`: what is read from runs' folders alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cod_runner.cli.options import PageFolderOption, RunFolderArgument
from cod_runner.plain_text import one_line
from cod_runner.terminal import Terminal

RunFolderArguments = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="a run's folder, or several", show_default=False)
]


def report(context: typer.Context, run_folders: RunFolderArguments, out: PageFolderOption = None) -> None:
    """Write a run's table, figures and page again, from its files alone; or one page of several runs."""
    from cod_runner.report import write_reports_again
    from cod_runner.report.several import write_several
    from cod_runner.report.terminal import show_report

    if len(run_folders) > 1:
        page = write_several(run_folders, out or Path("report"), context.obj)
        Terminal().print(Text(one_line(f"report: {page}")))
        return
    if out is not None:
        raise typer.BadParameter("--out is for a page of several runs; the report of one lies in its own folder")
    show_report(Terminal(), write_reports_again(run_folders[0], context.obj))


def compare(
    context: typer.Context,
    first: RunFolderArgument,
    second: Annotated[Path | None, typer.Argument(metavar="RUN", help="the run to compare with")] = None,
    published: Annotated[Path | None, typer.Option(help="a CSV of published numbers to compare with")] = None,
) -> None:
    """Set two runs side by side, cell by cell, with a paired test; or one run beside published numbers."""
    from cod_runner.report.compare import compare_runs, show_comparison
    from cod_runner.report.published import compare_published, show_published
    from cod_runner.runs.reading import read_run

    if (second is None) == (published is None):
        raise typer.BadParameter("give a second run, or --published FILE")
    if second is not None:
        show_comparison(Terminal(), compare_runs(read_run(first, context.obj), read_run(second, context.obj)))
    elif published is not None:
        show_published(Terminal(), compare_published(read_run(first, context.obj), published))
