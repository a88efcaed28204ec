"""`codrun bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import AllowFolderOption, AllowLocalPluginsOption, JsonOption, OfflineOption, QuietOption
from cod_runner.cli.predict import ArmOption, MethodOption, OneKOption
from cod_runner.plain_text import json_text, one_line


def bench(
    context: typer.Context,
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder", show_default=False)],
    exported: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[EXPORTED]...", help="folders that `codrun export` wrote, measured too"),
    ] = None,
    method: MethodOption = None,
    arm: ArmOption = None,
    k: OneKOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="the student of this seed")] = None,
    texts: Annotated[int, typer.Option("--texts", min=1, help="evaluation texts, at most, that are timed")] = 200,
    threads: Annotated[int, typer.Option("--threads", min=1, help="threads of a torch model on the CPU")] = 1,
    offline: OfflineOption = False,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set teacher and student side by side on this machine: speed, size, memory, accuracy.

    The student is the one that `codrun pick` takes, of what the flags leave. It is measured as it was saved, and in
    every form that the installed exporters make of it (ONNX, and in int8, with `pip install "codrun[onnx]"`); on the
    CPU, and on the GPU where there is one. Each form has a process of its own, and they are asked in turn, so that all
    meet the same disturbances. A teacher that is paid is not asked: its stored answers and their price stand in.

    - `codrun bench runs/x`: a minute or two; `bench.json` and `bench.md` stay in the run's folder
    - `codrun bench runs/x --texts 50`: shorter, and rougher
    - `codrun bench runs/x exported/`: an export that you have made beside it
    """
    from rich.text import Text

    from cod_runner.deployment import bench_tables
    from cod_runner.deployment.benched_run import bench_run
    from cod_runner.deployment.located import CellFilter
    from cod_runner.deployment.picking import pick_student
    from cod_runner.permissions import read_permissions
    from cod_runner.progress import Progress
    from cod_runner.report.terminal import rich_grid
    from cod_runner.terminal import Terminal

    progress = Progress(quiet=quiet)
    picked = pick_student(run_folder, CellFilter(method, arm, k, seed), context.obj)
    found = bench_run(
        picked.run,
        picked.folder,
        exported or [],
        context.obj,
        texts=texts,
        threads=threads,
        progress=progress,
        offline=offline,
        permissions=read_permissions((), allow_folder or [], local_plugins=allow_local_plugins),
    )
    bench_tables.write_bench(found, run_folder, picked.run.recipe.name)
    if as_json:
        typer.echo(json_text(bench_tables.as_json(found)))
        return
    terminal = Terminal()
    terminal.print(rich_grid("How fast they answer", *bench_tables.speed_grid(found)))
    terminal.print(rich_grid("How large and how good they are", *bench_tables.weight_grid(found)))
    for sentence in (*bench_tables.sentences(found), bench_tables.machine_in_words()):
        terminal.print(Text(one_line(sentence)))
    terminal.print(Text(one_line(f"written: {run_folder / 'bench.json'}, {run_folder / 'bench.md'}")))
