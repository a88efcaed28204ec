"""The program: its commands, and how what they raise becomes a sentence and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cod_runner import __version__
from cod_runner.cli.commands import MARKUP, Commands, refuse_what_is_no_recipe
from cod_runner.cli.starting import start_sooner
from cod_runner.errors import CodrunError, ExpectationMissed, RecipeError, RegressionFound
from cod_runner.plain_text import one_line

INTERRUPTED = 130
# typer carries a click of its own: its faults are found through the class that it exports
UsageFault: Any = typer.BadParameter.__mro__[2]


class RunByDefault(TyperGroup):
    """``codrun RECIPE`` is ``codrun run RECIPE``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--help", "--version", "--install-completion", "--show-completion"}
        if args and args[0] not in self.commands and args[0] not in own:
            refuse_what_is_no_recipe(args[0])
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what a plugin's code raises is put down to its component."""
        try:
            return super().invoke(ctx)
        except (Exception, SystemExit) as error:
            failed = None if ctx.obj is None else ctx.obj.blamed(error)
            if failed is None:
                raise
            raise failed from error


app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
    help="Few-shot knowledge distillation with counterfactual explanations.\n\n"
    "`codrun RECIPE` runs a recipe: it fine-tunes or loads the teacher, finds counterfactuals, trains a student for "
    "every cell (method x arm x k x seed) and shows the table. Call it again and it continues where it stopped.\n\n"
    "Start with `codrun recipes/quickstart.yaml`, or with data of your own: `codrun auto DATA.csv`, or step by step "
    "`codrun new recipe`, `plan`, `run`, `pick`, `predict`, `export`.\n\n"
    "Exit codes: 0 done, 1 the run failed or some of its cells could not run, 2 the recipe or the call is wrong, 3 an "
    "expectation was missed or `compare --fail-on-regression` found a regression, 130 interrupted (can be resumed).",
)


def main() -> None:
    """The program's entry point."""
    start_sooner()
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every foreseen failure is one sentence, not a traceback."""
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    logging.getLogger("codrun").propagate = False
    try:
        result = app(list(arguments), standalone_mode=False, prog_name="codrun")
        if result == INTERRUPTED:
            raise KeyboardInterrupt  # typer took it for an exit
        return int(result) if isinstance(result, int) else 0
    except RecipeError as error:
        _print_error(str(error) if error.faults else one_line(str(error)))
        return error.exit_code
    except ExpectationMissed as error:
        _print_error(one_line(str(error)), "missed")
        return error.exit_code
    except RegressionFound as error:
        _print_error(one_line(str(error)), "regression")
        return error.exit_code
    except CodrunError as error:
        logging.getLogger("codrun").error(one_line(str(error)))
        _print_error(one_line(str(error)), "error")
        return error.exit_code
    except UsageFault as error:
        error.message = one_line(error.message)
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _print_error("interrupted; nothing that is finished is lost, the same command continues")
        return INTERRUPTED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sentence = f"{error.strerror or error}{where}; nothing that is finished is lost, the same command continues"
        _print_error(one_line(sentence), "error")
        return 1


def _print_error(text: str, mark: str = "", colour: str = "red") -> None:
    """On standard error, behind a coloured ``mark:`` if there is one; most calls need none, and so no rich."""
    from rich.text import Text

    from cod_runner.terminal import Terminal

    marked = Text.assemble((f"{mark}:", colour), f" {text}") if mark else Text(text)
    Terminal(stderr=True, soft_wrap=True).print(marked)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"codrun {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    from cod_runner.registry import Registry

    context.obj = Registry.discover()
    for warning in context.obj.warnings:
        _print_error(one_line(warning), "warning", "yellow")
