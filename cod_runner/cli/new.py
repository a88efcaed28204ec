"""`codrun new`: a recipe or a plugin to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.kinds import Kind
from cod_runner.plain_text import one_line

if TYPE_CHECKING:
    from cod_runner.scaffold.options import NewRecipeOptions

new = typer.Typer(no_args_is_help=True, help="Start a recipe from a data file, or a plugin package.")


DataFile = Annotated[
    Path, typer.Argument(metavar="DATA", help="a CSV, TSV, JSONL or Parquet file of labelled texts", show_default=False)
]
TeacherOption = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="MODEL",
        help="a language model as the teacher: as litellm names it (openai/gpt-4o-mini, ollama/llama3.1:8b), or "
        "to run here hub:OWNER/NAME, package:NAME, a folder or a .gguf file; else one that is fine-tuned, or for "
        "few rows the packaged one",
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="COLUMN", help="the column of the texts; given twice, two columns are joined"),
]
LabelOption = Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="the column of the labels")]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="COLUMN", help="the column that says train, test or validation")
]
HeaderOption = Annotated[
    bool | None, typer.Option("--header/--no-header", help="whether the first row names the columns")
]
LabelsOption = Annotated[
    str | None, typer.Option("--labels", metavar="A,B,...", help="names of the labels, in the order of their ids")
]


@new.command("recipe")
def new_recipe(
    context: typer.Context,
    data: DataFile,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="else the data's name, .yaml")] = None,
    teacher: TeacherOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    split: SplitOption = None,
    header: HeaderOption = None,
    labels: LabelsOption = None,
) -> None:
    """Write a recipe that runs on a data file of your own: what is not said is guessed, and everything is checked."""
    from cod_runner.permissions import Permissions
    from cod_runner.scaffold.new_recipe import write_recipe

    path, sentences = write_recipe(data, context.obj, out, recipe_options(teacher, text, label, split, header, labels))
    for sentence in sentences:
        typer.echo(one_line(sentence))
    # a recipe reads files of its own folder; others the user allows
    outside = not Permissions().allow_file(data, path.parent)
    command = ["codrun", str(path), *(["--allow-folder", str(data.parent)] if outside else [])]
    typer.echo(one_line(f"wrote {shlex.quote(str(path))}; run it with: {shlex.join(command)}"))


def recipe_options(
    teacher: str | None,
    text: list[str] | None,
    label: str | None,
    split: str | None,
    header: bool | None,
    labels: str | None,
) -> NewRecipeOptions:
    """What the flags say of a new recipe."""
    from cod_runner.scaffold.options import NewRecipeOptions

    names = tuple(name.strip() for name in labels.split(",")) if labels else ()
    return NewRecipeOptions(tuple(text or ()), label, split, header, names, teacher)


@new.command("plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="the package's name, a new folder")],
    kind: Annotated[Kind, typer.Option("--kind", help="what the package brings")],
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="where the folder is made")] = Path(),
) -> None:
    """Write a plugin package of your own, with one working component and its test."""
    from cod_runner.scaffold.new_plugin import new_plugin as write_plugin

    for path in write_plugin(name, kind, folder):
        typer.echo(one_line(f"wrote {path}"))
