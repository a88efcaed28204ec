"""The command line. Every command is thin: it reads flags, calls one function, and shows what came back."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from cod_runner import __version__
from cod_runner.api import BuildContext, Kind
from cod_runner.cli.kept import JsonOption, ledger, store
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError, ExpectationMissed, RecipeError
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.schema import json_schema
from cod_runner.registry import Registry

INTERRUPTED = 130
# typer carries a click of its own: its faults are found through the class that it exports
UsageFault: Any = typer.BadParameter.__mro__[2]


class RunByDefault(TyperGroup):
    """``codrun RECIPE`` is ``codrun run RECIPE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--help", "--version", "--install-completion", "--show-completion"}
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Few-shot knowledge distillation with counterfactual explanations.\n\n"
    "`codrun RECIPE` runs a recipe: it fine-tunes or loads the teacher, finds counterfactuals, trains a student for "
    "every cell (method x arm x k x seed) and shows the table. Call it again and it goes on where it stopped.\n\n"
    "Start with `codrun recipes/quickstart.yaml`, or with data of your own: `codrun new recipe DATA.csv`.\n\n"
    "Exit codes: 0 done, 1 the run failed, 2 the recipe or the call is wrong, 3 an expectation was missed, "
    "130 interrupted (can be resumed).",
)
new = typer.Typer(no_args_is_help=True, help="Start a recipe from a data file, or a plugin package.")
app.add_typer(new, name="new")
app.add_typer(ledger, name="ledger")
app.add_typer(store, name="store")

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
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="the run's folder; else runs/<name>")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto takes the best there is")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="no network: packages, local files, kept answers only")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="warnings, errors and the result only")]


def main() -> None:
    """The program's entry point."""
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every foreseen failure is one sentence, not a traceback."""
    errors = Console(stderr=True, soft_wrap=True)
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    logging.getLogger("codrun").propagate = False
    try:
        result = app(list(arguments), standalone_mode=False, prog_name="codrun")
        if result == INTERRUPTED:
            raise KeyboardInterrupt  # typer took it for an exit
        return int(result) if isinstance(result, int) else 0
    except RecipeError as error:
        errors.print(str(error), markup=False, highlight=False)
        return error.exit_code
    except ExpectationMissed as error:
        errors.print(f"[red]missed:[/red] {escape(str(error))}", highlight=False)
        return error.exit_code
    except CodrunError as error:
        logging.getLogger("codrun").error(str(error))
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return error.exit_code
    except UsageFault as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        errors.print("interrupted; what is finished is kept, the same command goes on", highlight=False)
        return INTERRUPTED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        errors.print(
            f"[red]error:[/red] {escape(f'{error.strerror or error}{where}')}; what is finished is kept, "
            "the same command goes on",
            highlight=False,
        )
        return 1


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"codrun {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    context.obj = Registry.discover()
    for warning in context.obj.warnings:
        Console(stderr=True).print(f"[yellow]warning:[/yellow] {escape(warning)}", highlight=False, soft_wrap=True)


def _load(
    context: typer.Context,
    recipe: Path,
    profile: str | None,
    overrides: list[str] | None,
    k: str | None = None,
    seeds: str | None = None,
    methods: str | None = None,
    arms: str | None = None,
) -> LoadedRecipe:
    flags: dict[str, Any] = {
        "k": _numbers("--k", k),
        "seeds": _numbers("--seeds", seeds),
        "methods": _words(methods),
        "arms": _words(arms),
    }
    given = {name: value for name, value in flags.items() if value is not None}
    return load_recipe(recipe, context.obj, profile=profile, overrides=overrides or [], flags=given)


def _words(value: str | None) -> list[str] | None:
    return None if value is None else [word for word in value.replace(",", " ").split() if word]


def _numbers(flag: str, value: str | None) -> list[int] | None:
    words = _words((value or "").strip("[]")) if value is not None else None
    if words is None:
        return None
    try:
        return [int(word) for word in words]
    except ValueError:
        raise typer.BadParameter(f"{flag} takes whole numbers with commas between them, not `{value}`") from None


@app.command()
def run(
    context: typer.Context,
    recipe: RecipeFile,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    methods: MethodsOption = None,
    arms: ArmsOption = None,
    out: OutOption = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="cells at once; else one for each core")] = None,
    executor: Annotated[str | None, typer.Option("--executor", help="where cells run, a plugin's executor")] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="run finished cells again; nothing is deleted")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe; a second call goes on where the first stopped and repeats nothing that is done."""
    from cod_runner import pipeline
    from cod_runner.report.terminal import show_report
    from cod_runner.runs.expectations import show_expectations

    loaded = _load(context, recipe, profile, overrides, k, seeds, methods, arms)
    settings = RunSettings(out=out, jobs=jobs, executor=executor, device=device, offline=offline, fresh=fresh)
    with loaded.pointing():
        result = pipeline.run(loaded, context.obj, settings, Progress(quiet=quiet))
    if as_json:
        typer.echo(json.dumps(result.record.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        show_report(Console(), result.report)
        show_expectations(Console(), result.expectations)
        Console().print(f"report: {result.folder.path / 'report.html'}", markup=False, highlight=False)
    result.raise_if_missed()


@app.command()
def validate(
    context: typer.Context,
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", show_default=False)],
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Check recipes with every plugin's options; needs no model, data or network."""
    faults: list[str] = []
    for recipe in recipes:
        try:
            loaded = _load(context, recipe, profile, overrides)
        except RecipeError as error:
            faults.append(str(error))
            continue
        counts = f"{len(loaded.recipe.methods)} methods x {len(loaded.recipe.arms)} arms"
        typer.echo(f"{recipe}: valid ({counts} x k {loaded.recipe.k} x {len(loaded.recipe.seeds)} seeds)")
    if faults:
        raise RecipeError("\n".join(faults))


@app.command()
def plan(
    context: typer.Context,
    recipe: RecipeFile,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    methods: MethodsOption = None,
    arms: ArmsOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the cells, what is done, the signals' size, the model calls and their price, before anything is spent."""
    from cod_runner.plan import plan_of

    loaded = _load(context, recipe, profile, overrides, k, seeds, methods, arms)
    with loaded.pointing():
        planned = plan_of(loaded, context.obj, out)
    if as_json:
        typer.echo(json.dumps(planned.as_json(), indent=2, ensure_ascii=False))
    else:
        Console().print(planned)


@app.command()
def plugins(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="one plugin or component, with its options")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is installed and from where."""
    from cod_runner.cli.listing import plugins_json, show_plugins

    if as_json:
        typer.echo(json.dumps(plugins_json(context.obj, name), indent=2, ensure_ascii=False))
    else:
        show_plugins(Console(), context.obj, name)


@app.command()
def schema(context: typer.Context) -> None:
    """Print the JSON Schema of a recipe, every plugin's options included, for editors."""
    typer.echo(json.dumps(json_schema(context.obj), indent=2, ensure_ascii=False))


@app.command()
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
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="show only so many pairs")] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME=MODEL",
            help="a further row of the quality table: similarity, fluency; may be repeated",
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Generate, or show, the counterfactuals: word diff, teacher's probabilities, reject reasons, quality table."""
    from cod_runner.counterfactuals import measured
    from cod_runner.counterfactuals.measures import build_measures
    from cod_runner.counterfactuals.show import show_pairs
    from cod_runner.engine.device import choose_device
    from cod_runner.pipeline import find_counterfactuals

    loaded = _load(context, recipe, profile, overrides, k, seeds)
    settings = RunSettings(out=out, device=device, offline=offline)
    progress = Progress(quiet=quiet)
    given = BuildContext(device=choose_device(device), offline=offline, say=progress.warn)
    measures = build_measures(measure or [], context.obj, given)
    with loaded.pointing():
        found = find_counterfactuals(loaded, context.obj, settings, progress)
    quality = [*found.quality, *measured(list(found.outcomes.values()), measures)]
    lines = found.lines[:sample] if sample else found.lines
    if as_json:
        shown = {"pairs": lines, "quality": [asdict(row) for row in quality]}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        show_pairs(Console(), lines, found.labels, quality)


@app.command()
def report(run_folder: RunFolderArgument) -> None:
    """Write a run's table, figures and page again, from its files alone."""
    from cod_runner.report import write_reports_again
    from cod_runner.report.terminal import show_report

    show_report(Console(), write_reports_again(run_folder))


@app.command()
def compare(
    first: RunFolderArgument,
    second: Annotated[Path | None, typer.Argument(metavar="RUN", help="the run to compare with")] = None,
    published: Annotated[Path | None, typer.Option(help="a CSV of published numbers to compare with")] = None,
) -> None:
    """Set two runs side by side, cell by cell, with a paired test; or one run beside published numbers."""
    from cod_runner.report import read_run
    from cod_runner.report.compare import compare_runs, show_comparison
    from cod_runner.report.published import compare_published, show_published

    if (second is None) == (published is None):
        raise typer.BadParameter("give a second run, or --published FILE")
    if second is not None:
        show_comparison(Console(), compare_runs(read_run(first), read_run(second)))
    elif published is not None:
        show_published(Console(), compare_published(read_run(first), published))


@new.command("recipe")
def new_recipe(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="a CSV, TSV, JSONL or Parquet file of labelled texts")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="else <name of the data>.yaml")] = None,
) -> None:
    """Write a recipe that runs on a data file of your own: columns and labels are guessed, said and checked."""
    from cod_runner.scaffold import write_recipe

    path, sentences = write_recipe(data, context.obj, out)
    for sentence in sentences:
        typer.echo(sentence)
    typer.echo(f"wrote {path}; run it with: codrun {path}")


@new.command("plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="the package's name, a new folder")],
    kind: Annotated[Kind, typer.Option("--kind", help="what the package brings")],
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="where the folder is made")] = Path(),
) -> None:
    """Write a plugin package of your own, with one working component and its test."""
    from cod_runner.scaffold import new_plugin as write_plugin

    for path in write_plugin(name, kind, folder):
        typer.echo(f"wrote {path}")
