"""`codrun report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import run_folder
from cod_runner.plain_text import one_line

RunFolderArguments = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="a run's folder, or several", show_default=False)
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", parser=run_folder, metavar="DIR", help="of several runs: where their page goes; `report` if absent"
    ),
]


def report(context: typer.Context, run_folders: RunFolderArguments, out: OutOption = None) -> None:
    """Write a run's table, figures and page again, from its files alone; or one page of several runs."""
    from rich.text import Text

    from cod_runner.report import write_reports_again
    from cod_runner.report.page.several_runs import write_several
    from cod_runner.report.terminal import show_report
    from cod_runner.terminal import Terminal

    if len(run_folders) > 1:
        page = write_several(run_folders, out or Path("report"), context.obj)
        Terminal().print(Text(one_line(f"report: {page}")))
        return
    if out is not None:
        raise typer.BadParameter("--out is for a page of several runs; the report of one lies in its own folder")
    show_report(Terminal(), write_reports_again(run_folders[0], context.obj))
