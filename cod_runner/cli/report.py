"""`codrun report`."""

from __future__ import annotations

import typer

from cod_runner.cli.options import RunFolderArgument
from cod_runner.terminal import Terminal


def report(context: typer.Context, run_folder: RunFolderArgument) -> None:
    """Write a run's table, figures and page again, from its files alone."""
    from cod_runner.report import write_reports_again
    from cod_runner.report.terminal import show_report

    show_report(Terminal(), write_reports_again(run_folder, context.obj))
