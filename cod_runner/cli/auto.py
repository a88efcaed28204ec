"""`codrun auto`: from a file of labelled texts to an exported student, by the commands that do it step by step."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.cli.export import export
from cod_runner.cli.new import (
    DataFile,
    HeaderOption,
    LabelOption,
    LabelsOption,
    SplitOption,
    TeacherOption,
    TextOption,
    new_recipe,
    recipe_options,
)
from cod_runner.cli.options import AllowHostOption, OfflineOption, SetOption
from cod_runner.cli.pick import pick
from cod_runner.cli.plan import plan
from cod_runner.cli.question import agreed
from cod_runner.cli.run import run
from cod_runner.defaults import DEFAULT_EXPORTER
from cod_runner.errors import CellsLeftOut, RecipeError
from cod_runner.plain_text import one_line

if TYPE_CHECKING:
    from cod_runner.registry import Registry


def auto(
    context: typer.Context,
    data: DataFile,
    teacher: TeacherOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    split: SplitOption = None,
    header: HeaderOption = None,
    labels: LabelsOption = None,
    overrides: SetOption = None,
    to: Annotated[str, typer.Option("--to", help="the exporter: `codrun plugins` lists them")] = DEFAULT_EXPORTER,
    int8: Annotated[bool, typer.Option("--int8/--whole", help="weights in 8 bits, or as they are")] = True,
    allow_host: AllowHostOption = None,
    offline: OfflineOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="run the plan without asking")] = False,
) -> None:
    """From a file of labelled texts to a small classifier that can be shipped, in one go.

    Writes a recipe (as `codrun new recipe` does; one that is there already is used as it is), shows the plan with its
    price and asks, runs it, picks a student, and exports it with its model card. The same command again continues where
    it stopped: nothing that is finished or paid is repeated.

    - `codrun auto reviews.csv`: with the packaged language model, where there are few rows
    - `codrun auto reviews.csv --teacher openai/gpt-4o-mini --label verdict`
    """
    from cod_runner.api import BuildContext
    from cod_runner.deployment.export_destination import export_folder, exporter_options, is_export_of
    from cod_runner.scaffold.options import NewRecipeOptions

    registry: Registry = context.obj
    options = exporter_options(registry, to, [], int8=int8)
    registry.build("exporter", to, options, BuildContext())  # before an hour of training, it says what it lacks
    recipe = Path(f"{data.stem}.yaml")
    if recipe.exists():
        if recipe_options(teacher, text, label, split, header, labels) != NewRecipeOptions():
            raise RecipeError(
                f"{recipe} is there already, and these flags would not be used: change the recipe itself, or remove it"
            )
        _say(f"{recipe} is there already and is used as it is")
    else:
        new_recipe(context, data, recipe, teacher, text, label, split, header, labels)
    folders = [data.absolute().parent]  # the user named this file, so its folder may be read
    _say("")
    plan(context, recipe, overrides=overrides, allow_host=allow_host, allow_folder=folders)
    if not yes and not agreed("run it?"):
        _say(f"nothing was run; {recipe} is yours to change, and the same command goes on from it")
        return
    _say("")
    incomplete: CellsLeftOut | None = None
    try:
        run(context, recipe, overrides=overrides, allow_host=allow_host, allow_folder=folders, offline=offline)
    except CellsLeftOut as error:  # there is a student to ship all the same
        incomplete = error
    folder = _run_folder(context, recipe, overrides, folders)
    _say("")
    pick(context, folder)
    chosen = _chosen(folder, registry)
    exported = export_folder(chosen, to, options)
    _say("")
    if not is_export_of(exported, chosen):
        export(context, chosen, to, int8, out=exported, force=True, offline=offline)
    _say(f"its card: {exported / 'README.md'}")
    _say(f"ask it: {shlex.join(['codrun', 'predict', str(exported), 'a text'])}")
    if incomplete is not None:
        raise incomplete


def _run_folder(context: typer.Context, recipe: Path, overrides: list[str] | None, folders: list[Path]) -> Path:
    from cod_runner.cli.options import loaded_recipe
    from cod_runner.context import run_path
    from cod_runner.permissions import read_permissions

    return run_path(loaded_recipe(context, recipe, None, overrides, permissions=read_permissions([], folders)), None)


def _chosen(folder: Path, registry: Registry) -> Path:
    from cod_runner.deployment.located import CellFilter
    from cod_runner.deployment.picking import pick_student

    return pick_student(folder, CellFilter(), registry).folder


def _say(sentence: str) -> None:
    typer.echo(one_line(sentence))
