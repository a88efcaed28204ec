"""`codrun pick`."""

from __future__ import annotations

from typing import Annotated

import typer

from cod_runner.cli.options import JsonOption, RunFolderArgument
from cod_runner.cli.predict import ArmOption, MethodOption, OneKOption
from cod_runner.plain_text import json_text, one_line


def pick(
    context: typer.Context,
    run_folder: RunFolderArgument,
    method: MethodOption = None,
    arm: ArmOption = None,
    k: OneKOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="the chosen student's folder alone")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which student of a run to ship, why, and what it cost.

    The rule uses no label of the evaluation split, so the numbers that the run reports stay honest: the smallest
    cross-entropy on labelled rows of the pool that were held out of training, a student's own counting with the mean of
    its setting (method, arm, k) as 20 further rows. Where no cell has held-out rows, the largest k, then a method with
    a teacher.

    - `codrun pick runs/x`: the candidates, the choice, the reason
    - `codrun pick runs/x --arm plain`: the best without counterfactuals
    - `codrun export "$(codrun pick runs/x --quiet)" --to onnx`: export it at once
    """
    from rich.text import Text

    from cod_runner.deployment.located import CellFilter
    from cod_runner.deployment.picking import candidates, pick_student, size_in_words
    from cod_runner.report.terminal import rich_grid
    from cod_runner.terminal import Terminal

    picked = pick_student(run_folder, CellFilter(method, arm, k), context.obj)
    if quiet:
        typer.echo(str(picked.folder))
        return
    if as_json:
        typer.echo(json_text(picked.as_json()))
        return
    terminal = Terminal()
    terminal.print(rich_grid("Candidates, mean ± sample deviation over seeds", *candidates(picked.choice)))
    for sentence in (*picked.reasons(), *picked.costs()):
        terminal.print(Text(one_line(sentence)))
    terminal.print()
    for command in picked.commands():
        terminal.print(Text(f"  {one_line(command)}"), soft_wrap=True)
    terminal.print()
    terminal.print(Text(one_line(f"{size_in_words(picked.bytes)}  {picked.folder}")), soft_wrap=True)
