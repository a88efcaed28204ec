"""`codrun run`, which is also `codrun RECIPE`."""

from __future__ import annotations

from typing import Annotated

import typer

from cod_runner.cli.options import (
    AllowCallableOption,
    AllowFolderOption,
    AllowHostOption,
    AllowLocalPluginsOption,
    ArmsOption,
    DeviceOption,
    JsonOption,
    KOption,
    MethodsOption,
    OfflineOption,
    OutOption,
    ProfileOption,
    QuietOption,
    RecipeFile,
    SeedsOption,
    SetOption,
    StudentsOption,
    asked,
)
from cod_runner.plain_text import json_text, one_line


def run(
    context: typer.Context,
    recipe: RecipeFile,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    methods: MethodsOption = None,
    arms: ArmsOption = None,
    students: StudentsOption = None,
    out: OutOption = None,
    allow_host: AllowHostOption = None,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    allow_callable: AllowCallableOption = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="cells at once; by default one per core")] = None,
    executor: Annotated[str | None, typer.Option("--executor", help="where cells run, a plugin's executor")] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="run finished cells again; nothing is deleted")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="an expectation whose cells a profile or a flag leaves out ends with 3 too")
    ] = False,
) -> None:
    """Run a recipe; a second call continues where the first stopped and repeats nothing that is finished."""
    from rich.text import Text

    from cod_runner.calling import run_as_asked
    from cod_runner.context import RunSettings
    from cod_runner.permissions import read_permissions
    from cod_runner.progress import Progress
    from cod_runner.report.terminal import show_report
    from cod_runner.terminal import Terminal

    permissions = read_permissions(
        allow_host or [], allow_folder or [], local_plugins=allow_local_plugins, callables=allow_callable or []
    )
    settings = RunSettings(
        out=out,
        jobs=jobs,
        device=device,
        offline=offline,
        fresh=fresh,
        permissions=permissions,
        strict=strict,
    )
    wanted = asked(recipe, profile, overrides, k, seeds, methods, arms, students, executor)
    progress = Progress(quiet=quiet)
    result = run_as_asked(wanted, context.obj, settings, progress)
    if as_json:
        typer.echo(json_text(result.as_json()))
    else:
        show_report(Terminal(), result.report, progress.notes)
        Terminal().print(Text(one_line(f"report: {result.folder.path / 'report.html'}")))
    result.raise_if_incomplete()
    result.raise_if_missed()
