"""Arguments and flags that several commands share, and the recipe that they name."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.plain_text import shortened

if TYPE_CHECKING:
    from cod_runner.calling import Asked
    from cod_runner.permissions import Permissions
    from cod_runner.recipe import LoadedRecipe

LONGEST_SHOWN = 100
"""Characters of a wrong value that a sentence quotes."""

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="a recipe, YAML", show_default=False)]
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="a run's folder", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="override one key; the value is YAML; may be repeated"),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="merge this profile of the recipe on top")]
KOption = Annotated[str | None, typer.Option("--k", metavar="8,16", help="only these numbers of training examples")]
SeedsOption = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="only these seeds")]
MethodsOption = Annotated[str | None, typer.Option("--methods", metavar="kd,lwd", help="only these methods")]
ArmsOption = Annotated[str | None, typer.Option("--arms", metavar="plain,cod", help="only these arms")]


def run_folder(value: str) -> Path:
    """``--out``, refused where no folder can be."""
    shown = shortened(value, LONGEST_SHOWN)
    if not value.strip():
        raise typer.BadParameter("it is empty; name a folder, or leave the flag out")
    path = Path(value)
    for each in (path, *path.parents):
        try:
            is_folder = stat.S_ISDIR(each.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise typer.BadParameter(f"`{shown}` cannot be a folder: {reason}") from None
        if not is_folder:
            raise typer.BadParameter(f"`{shown}` cannot be a folder: `{shortened(str(each), LONGEST_SHOWN)}` is a file")
        break
    return path


StudentsOption = Annotated[
    str | None,
    typer.Option("--students", metavar="all|best|none", help="which students stay in the run's folder; as `students:`"),
]

OutOption = Annotated[
    Path | None,
    typer.Option("--out", parser=run_folder, metavar="DIR", help="the run's folder; else runs/NAME"),
]
NewFolderOption = Annotated[
    Path | None,
    typer.Option("--out", parser=run_folder, metavar="DIR", help="the folder to write; else beside the student"),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto takes the best there is")]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="no network: only packages, local files and stored answers")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="warnings, errors and the result only")]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="HOST[:PORT]",
        help="let the recipe send texts, and a key of its provider, to this host; may be repeated",
    ),
]
AllowFolderOption = Annotated[
    list[Path] | None,
    typer.Option("--allow-folder", metavar="DIR", help="let the recipe read files of this folder too; may be repeated"),
]
AllowLocalPluginsOption = Annotated[
    bool, typer.Option("--allow-local-plugins", help="run the Python files that the recipe names under `plugins:`")
]
AllowCallableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-callable",
        metavar="MODULE:CALLABLE",
        help="let the recipe have this code called, with the options that it says; may be repeated",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]


def loaded_recipe(
    context: typer.Context,
    recipe: Path,
    profile: str | None,
    overrides: list[str] | None,
    k: str | None = None,
    seeds: str | None = None,
    methods: str | None = None,
    arms: str | None = None,
    permissions: Permissions | None = None,
    students: str | None = None,
) -> LoadedRecipe:
    """The recipe of a command with its flags on top; raises :class:`RecipeError` with every fault found."""
    from cod_runner.permissions import NO_PERMISSIONS

    wanted = asked(recipe, profile, overrides, k, seeds, methods, arms, students)
    return wanted.load(context.obj, permissions or NO_PERMISSIONS)


def asked(
    recipe: Path,
    profile: str | None = None,
    overrides: list[str] | None = None,
    k: str | None = None,
    seeds: str | None = None,
    methods: str | None = None,
    arms: str | None = None,
    students: str | None = None,
    executor: str | None = None,
) -> Asked:
    """The recipe and flags of a command, read."""
    from cod_runner.calling import Asked

    return Asked(
        recipe,
        profile,
        overrides or [],
        k=_numbers("--k", k),
        seeds=_numbers("--seeds", seeds),
        methods=_words("--methods", methods),
        arms=_words("--arms", arms),
        students=students,
        executor=executor,
    )


def _words(flag: str, value: str | None) -> list[str] | None:
    """The words of a list with commas, or spaces, between them; refused where nothing stands beside a comma."""
    if value is None:
        return None
    parts = [part.split() for part in value.split(",")]
    if len(parts) > 1 and not all(parts):
        shown = shortened(value, LONGEST_SHOWN)
        raise typer.BadParameter(f"{flag} has a comma too many: `{shown}`")
    return [word for part in parts for word in part]


def _numbers(flag: str, value: str | None) -> list[int] | None:
    words = None if value is None else _words(flag, value.strip().removeprefix("[").removesuffix("]"))
    if words is None:
        return None
    try:
        return [int(word) for word in words]
    except ValueError:
        raise typer.BadParameter(
            f"{flag} takes whole numbers with commas between them, not `{shortened(value or '', LONGEST_SHOWN)}`"
        ) from None
