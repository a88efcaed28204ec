"""`codrun report` and `codrun compare`: what is read from runs' folders alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import RunFolderArgument
from cod_runner.terminal import Terminal


def report(context: typer.Context, run_folder: RunFolderArgument) -> None:
    """Write a run's table, figures and page again, from its files alone."""
    from cod_runner.report import write_reports_again
    from cod_runner.report.terminal import show_report

    show_report(Terminal(), write_reports_again(run_folder, context.obj))


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
