"""`codrun cfes`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cod_runner.cli.options import (
    AllowFolderOption,
    AllowHostOption,
    AllowLocalPluginsOption,
    DeviceOption,
    JsonOption,
    KOption,
    OfflineOption,
    OutOption,
    ProfileOption,
    QuietOption,
    RecipeFile,
    SeedsOption,
    SetOption,
    loaded_recipe,
)
from cod_runner.errors import RecipeError
from cod_runner.plain_text import json_text


def cfes(
    context: typer.Context,
    recipe: RecipeFile,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    out: OutOption = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    allow_host: AllowHostOption = None,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="show only so many pairs")] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME=VALUE",
            help="a further row of the quality table, by a cfe_measure and its option; may be repeated",
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Generate, or show, the counterfactuals: word diff, teacher's probabilities, reject reasons, quality table."""
    from cod_runner.api import BuildContext
    from cod_runner.context import RunSettings
    from cod_runner.counterfactuals import measured, quality_table
    from cod_runner.counterfactuals.measures import build_measures
    from cod_runner.counterfactuals.show import show_pairs
    from cod_runner.engine.device import choose_device
    from cod_runner.permissions import read_permissions
    from cod_runner.progress import Progress
    from cod_runner.running import find_counterfactuals
    from cod_runner.terminal import Terminal

    permissions = read_permissions(allow_host or [], allow_folder or [], local_plugins=allow_local_plugins)
    loaded = loaded_recipe(context, recipe, profile, overrides, k, seeds, permissions=permissions)
    if not any(arm.uses_section for arm in loaded.recipe.arms.values()):
        raise RecipeError(
            f"{recipe}: none of its arms ({', '.join(loaded.recipe.arms)}) takes what `counterfactuals` finds, so "
            "nothing is searched; add that section, and an arm as `cod: {add: flips}`"
        )
    settings = RunSettings(out=out, device=device, offline=offline, permissions=permissions)
    progress = Progress(quiet=quiet)
    given = BuildContext(device=choose_device(device), offline=offline, say=progress.warn)
    measures = build_measures(measure or [], context.obj, given)
    with loaded.pointing():
        found = find_counterfactuals(loaded, context.obj, settings, progress)
    outcomes = [outcome for each in found for outcome in each.counterfactuals.values()]
    originals = [each.examples[name] for each in found for name in each.counterfactuals]
    quality = [*(quality_table(outcomes, originals) if outcomes else []), *measured(outcomes, measures)]
    lines = [line for each in found for line in each.counterfactual_lines][:sample]
    if as_json:
        shown = {"pairs": lines, "quality": [asdict(row) for row in quality]}
        typer.echo(json_text(shown))
    else:
        show_pairs(Terminal(), lines, found[0].labels if found else (), quality)
