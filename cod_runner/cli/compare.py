"""`codrun compare`: two runs, one run and published numbers, or two revisions of recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.cli.options import (
    LONGEST_SHOWN,
    AllowFolderOption,
    AllowHostOption,
    AllowLocalPluginsOption,
    ArmsOption,
    JsonOption,
    KOption,
    MethodsOption,
    ProfileOption,
    QuietOption,
    SeedsOption,
    SetOption,
)
from cod_runner.plain_text import json_text, shortened

if TYPE_CHECKING:
    from cod_runner.registry import Registry
    from cod_runner.report.compare import CompareOptions, Comparison

RevOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rev",
        metavar="REVISION",
        help="run RECIPE... as this git revision has them, and again as they are now, and compare; given twice: "
        "compare these two revisions",
    ),
]
ToleranceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="[METRIC=]NUMBER",
        help="the smallest difference that matters, in the metric's own units; 0.02 unless said; may be repeated",
    ),
]


def compare(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="two runs' folders; one and --published; or with --rev recipes, or folders of them",
            show_default=False,
        ),
    ],
    revisions: RevOption = None,
    published: Annotated[Path | None, typer.Option(help="a CSV of published numbers to compare RUN with")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="accuracy,ece", help="compare by these; else by accuracy and agreement")
    ] = None,
    tolerance: ToleranceOption = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="end with exit code 3 where the second run is worse")
    ] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="print Markdown: a comment for a pull request")
    ] = False,
    as_json: JsonOption = False,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    k: KOption = None,
    seeds: SeedsOption = None,
    methods: MethodsOption = None,
    arms: ArmsOption = None,
    allow_host: AllowHostOption = None,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="cells at once")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, ...")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="no network")] = False,
    quiet: QuietOption = False,
) -> None:
    """Set two runs side by side, cell by cell, with a paired test; or two git revisions of a recipe.

    - `codrun compare runs/a runs/b`: what b changed, and whether it is more than seed noise
    - `codrun compare runs/a runs/b --fail-on-regression`: exit code 3 where b is worse, for scripts
    - `codrun compare runs/a runs/b --markdown`: a comment for a pull request; `--json`: everything, as data
    - `codrun compare --rev main recipes/ci`: runs each recipe of the folder as `main` has it, with main's own code
      where codrun or a plugin is developed (`pip install -e`) in this repository, and as the working tree has it.
      The runs stay in `runs/.revisions/`, by commit, so that a second call repeats nothing. `--set`, `--k`, `--seeds`
      and the like go to both.
    - `codrun compare runs/a --published recipes/paper/published.csv`

    A difference is a regression or a gain where it is larger than `--tolerance` and a one-sided paired t-test,
    moderated for few seeds and adjusted for the number of rows, gives p <= 0.05; unchanged within the tolerance;
    else unclear: seeds alone can make it. With `--fail-on-regression` cells count too that the first run has and
    the second lacks although its recipe asks for them, and runs that have nothing in common.
    """
    from cod_runner.progress import Progress
    from cod_runner.report.compare import CompareOptions, Pair, compare_all
    from cod_runner.report.compare.conclusion import raise_on_regression
    from cod_runner.revisions import Flags, run_revisions
    from cod_runner.runs.reading import read_run

    if as_markdown and as_json:
        raise typer.BadParameter("give --markdown or --json, not both")
    flags = Flags(
        profile=profile,
        overrides=tuple(overrides or ()),
        k=k,
        seeds=seeds,
        methods=methods,
        arms=arms,
        allow_hosts=tuple(allow_host or ()),
        allow_folders=tuple(allow_folder or ()),
        allow_local_plugins=allow_local_plugins,
        jobs=jobs,
        device=device,
        offline=offline,
        quiet=quiet,
    )
    registry: Registry = context.obj
    options = _options(metrics, tolerance)
    if published is not None:
        others = [
            bool(revisions),
            fail_on_regression,
            as_markdown,
            as_json,
            options != CompareOptions(),
            flags != Flags(),
        ]
        if len(paths) != 1 or any(others):
            raise typer.BadParameter("--published FILE takes one RUN and no other flag")
        _show_published(paths[0], published, registry)
        return
    if revisions:
        found = run_revisions(paths, revisions, flags, Progress(quiet=quiet))
        pairs = [
            Pair(read_run(each.first, registry), read_run(each.second, registry), found.names, each.title)
            for each in found.runs
        ]
        notes = found.notes
    else:
        if len(paths) != 2:
            which = "give a second run" if len(paths) == 1 else "give two runs' folders"
            raise typer.BadParameter(f"{which}, or one run and --published FILE, or recipes and --rev REVISION")
        if flags != Flags():
            raise typer.BadParameter(
                "flags that change a run (--set, --k, ...) go with --rev; two runs are made already"
            )
        pairs, notes = [Pair(read_run(paths[0], registry), read_run(paths[1], registry))], ()
    comparisons = compare_all(pairs, options)
    _show(comparisons, notes, as_markdown, as_json)
    if fail_on_regression:
        raise_on_regression(comparisons)


def _show(comparisons: Sequence[Comparison], notes: Sequence[str], as_markdown: bool, as_json: bool) -> None:
    from cod_runner.report.compare.data import data_of
    from cod_runner.report.compare.markdown import markdown_of
    from cod_runner.report.compare.terminal import show_comparisons
    from cod_runner.terminal import Terminal

    if as_json:
        typer.echo(json_text(data_of(comparisons, notes)))
    elif as_markdown:
        typer.echo(markdown_of(comparisons, notes), nl=False)
    else:
        show_comparisons(Terminal(), comparisons, notes)


def _show_published(run: Path, published: Path, registry: Registry) -> None:
    from cod_runner.report.published import compare_published, show_published
    from cod_runner.runs.reading import read_run
    from cod_runner.terminal import Terminal

    show_published(Terminal(), compare_published(read_run(run, registry), published))


def _options(metrics: str | None, tolerances: Sequence[str] | None) -> CompareOptions:
    """What ``--metrics`` and ``--tolerance`` say; raises a fault of the call for what cannot be meant."""
    from cod_runner.report.compare import CompareOptions

    names = tuple(dict.fromkeys(name for name in (metrics or "").replace(",", " ").split()))
    if metrics is not None and not names:
        raise typer.BadParameter("--metrics names no metric; leave the flag out to compare by accuracy and agreement")
    options = CompareOptions(names)
    for written in tolerances or ():
        name, equals, number = written.rpartition("=")
        value = _tolerance(number, written)
        if equals and not name.strip():
            raise typer.BadParameter(
                f"--tolerance `{shortened(written, LONGEST_SHOWN)}` names no metric before its `=`"
            )
        if equals:
            options = CompareOptions(names, options.tolerance, {**options.tolerances, name.strip(): value})
        else:
            options = CompareOptions(names, value, options.tolerances)
    return options


def _tolerance(number: str, written: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise typer.BadParameter(
            f"--tolerance takes a number of at least 0, or METRIC=NUMBER, not `{shortened(written, LONGEST_SHOWN)}`"
        )
    return value
