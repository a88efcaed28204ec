"""The command line: light commands stay light, faults are sentences, exit codes mean what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cod_runner.cli import call

HEAVY = ("torch", "transformers", "datasets", "litellm", "pandas", "sklearn", "matplotlib")
ROOT = Path(__file__).parents[3]
QUICKSTART = str(ROOT / "recipes" / "quickstart.yaml")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["validate", QUICKSTART], ["plan", QUICKSTART], ["plugins"], ["schema"]],
    ids=lambda arguments: arguments[0],
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from cod_runner.cli import call; code = call(sys.argv[1:]); "
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout


def imported_by(arguments: list[str]) -> set[str]:
    code = (
        "import sys; from cod_runner.cli import call; code = call(sys.argv[1:]); "
        "print('IMPORTED', *sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("IMPORTED ")[2].split())


def test_help_imports_the_commands_and_nothing_behind_them() -> None:
    ours = {name for name in imported_by(["--help"]) if name.startswith(("cod_runner.", "codrun_"))}
    beside = {name for name in ours if not name.startswith("cod_runner.cli")}
    assert beside == {f"cod_runner.{name}" for name in ("defaults", "errors", "kinds", "plain_text")}


def test_a_version_imports_no_command() -> None:
    names = imported_by(["--version"])
    assert {"pydantic", "rich", "yaml", "pluggy"} & names == set()
    assert {name for name in names if name.startswith("cod_runner.")} == {
        f"cod_runner.{name}" for name in ("cli", "cli.commands", "cli.program", "cli.starting", "errors", "plain_text")
    }


def test_what_is_right_is_validated_without_runs_reports_and_colours() -> None:
    names = imported_by(["validate", QUICKSTART])
    assert {
        "rich",
        "rapidfuzz",
        "cod_runner.runs",
        "cod_runner.report",
        "cod_runner.scaffold.new_recipe",
    } & names == set()
    assert {name for name in names if name.startswith("cod_runner.cli.")} == {
        f"cod_runner.cli.{name}" for name in ("commands", "options", "program", "starting", "validate")
    }


def test_a_fault_is_file_line_column_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(Path(QUICKSTART).read_text().replace("batch_size: 8, lr", "bath_size: 8, lr"))
    assert call(["validate", str(recipe)]) == 2
    shown = capsys.readouterr().err
    assert f"{recipe}:" in shown
    assert "batch_size" in shown
    assert "Traceback" not in shown


def test_a_missing_file_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", QUICKSTART, "--k", "many"], ["compare", "a"], ["run"]])
def test_a_wrong_call_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("codrun ")


def test_every_shipped_recipe_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = [str(path) for path in sorted((ROOT / "recipes").rglob("*.yaml")) if not path.name.startswith("_")]
    assert recipes
    assert call(["validate", *recipes]) == 0, capsys.readouterr().err
