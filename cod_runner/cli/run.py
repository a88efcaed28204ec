"""`codrun run`, which is also `codrun RECIPE`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from cod_runner.cli.options import (
    AllowFolderOption,
    AllowHostOption,
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
    loaded_recipe,
)
from cod_runner.context import RunSettings
from cod_runner.permissions import read_permissions
from cod_runner.plain_text import json_text, one_line
from cod_runner.progress import Progress
from cod_runner.terminal import Terminal


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
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="cells at once; by default one per core")] = None,
    executor: Annotated[str | None, typer.Option("--executor", help="where cells run, a plugin's executor")] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="run finished cells again; nothing is deleted")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe; a second call continues where the first stopped and repeats nothing that is finished."""
    from cod_runner import pipeline
    from cod_runner.report.terminal import show_report
    from cod_runner.runs.expectations import show_expectations

    permissions = read_permissions(allow_host or [], allow_folder or [])
    loaded = loaded_recipe(context, recipe, profile, overrides, k, seeds, methods, arms, permissions, students)
    settings = RunSettings(
        out=out,
        jobs=jobs,
        executor=executor,
        device=device,
        offline=offline,
        fresh=fresh,
        permissions=permissions,
    )
    progress = Progress(quiet=quiet)
    with loaded.pointing():
        result = pipeline.run(loaded, context.obj, settings, progress)
    if as_json:
        typer.echo(json_text(result.record.model_dump(mode="json")))
    else:
        show_report(Terminal(), result.report, progress.notes)
        show_expectations(Terminal(), result.expectations)
        Terminal().print(Text(one_line(f"report: {result.folder.path / 'report.html'}")))
    result.raise_if_incomplete()
    result.raise_if_missed()
