"""Calls that cannot be meant end with 2 and a sentence; what is only out of reach, or failed, ends with 1."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cod_runner.cli import call

ROOT = Path(__file__).parents[3]
MOONS = str(ROOT / "recipes" / "ci" / "moons.yaml")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "file.txt").write_text("hello\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", MOONS, "--k", "8,,"], "--k has a comma too many: `8,,`"),
        (["plan", MOONS, "--k", "8,"], "--k has a comma too many: `8,`"),
        (["plan", MOONS, "--seeds", ","], "--seeds has a comma too many: `,`"),
        (["plan", MOONS, "--methods", "kd,,"], "--methods has a comma too many: `kd,,`"),
        (["plan", MOONS, "--arms", ",cod"], "--arms has a comma too many: `,cod`"),
        (["plan", MOONS, "--allow-host", "http://x y"], "`http://x y` is not a host"),
        (["plan", MOONS, "--allow-folder", "nowhere"], "--allow-folder: there is no folder"),
        (["cfes", MOONS, "--device", "nope"], "no device is called `nope`"),
        (["cfes", MOONS, "--set", "arms=[plain]"], "none of its arms (plain) takes what `counterfactuals` finds, so"),
        (["run", MOONS, "--executor", "nope"], "no executor is named `nope`"),
        (["run", "empty"], "empty:1:1: is a folder, not a recipe file"),
        (["report", "nowhere"], "nowhere is not a run's folder"),
        (["report", "file.txt"], "file.txt is not a run's folder"),
        (["compare", "empty", "nowhere"], "empty is not a run's folder"),
        (["compare", "empty"], "give a second run, or one run and --published FILE"),
        (["pick", "empty"], "empty is not a run's folder"),
        (["bench", "nowhere"], "nowhere is not a run's folder"),
        (["predict", "empty", "a text"], "neither a student's folder nor a run's"),
        (["export", "empty", "--to", "onnx"], "neither a student's folder nor a run's"),
        (["push", "empty", "a/b"], "empty is not a student's folder"),
        (["auto", "nowhere.csv"], "there is no such file"),
        (["new", "recipe", "nowhere.csv"], "there is no such file"),
        (["reviews.csv"], "holds data, not a recipe: `codrun auto reviews.csv` makes a classifier of it"),
        (["nwe", "recipe", "reviews.csv"], "no command and no recipe is called `nwe`; did you mean `new`?"),
        (["qqqqqq"], "no command and no recipe is called `qqqqqq`; `codrun --help` lists the commands"),
        (["new", "recipe", "reviews.csv", "--labels", "a,,b"], "--labels has a label without a name"),
        (["new", "recipe", "reviews.csv", "--labels", "a,b,a"], "--labels names the label `a` twice; name each once"),
        (["auto", "reviews.csv", "--text", "t", "--text", "t"], "--text names the column `t` twice; name each once"),
        (["new", "plugin", "bad name", "--kind", "loss"], "cannot be a plugin's name"),
        (["new", "plugin", "there", "--kind", "loss"], "there already exists and is not overwritten"),
        (["ledger", "export", "file.txt"], "file.txt exists; name another file"),
        (["ledger", "import", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["ledger", "import", "file.txt"], "not a line of `codrun ledger export`"),
        (["store", "prune", "nope", "--yes"], "holds nothing named `nope`"),
        (["plugins", "nope"], "no plugin and no component is named `nope`; `codrun plugins` lists them"),
        (["plugins", "litelm"], "did you mean `litellm`?"),
        (["plugins", "cosin"], "did you mean `similarity`?"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_meant_ends_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments) == 2
    shown = capsys.readouterr()
    assert said in " ".join(shown.err.replace("│", " ").split())
    assert "Traceback" not in shown.err


def test_a_recipe_without_its_suffix_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("recipe: 1\n")
    assert call(["mine"]) == 2
    assert capsys.readouterr().err == "no command and no recipe is called `mine`; did you mean `mine.yaml`?\n"


def test_what_a_machine_lacks_is_no_fault_of_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["cfes", MOONS, "--device", "cuda:99"]) == 1
    assert "this machine has no `cuda:99`" in capsys.readouterr().err


def test_fragments_among_recipes_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "recipes" / "theory" / "moons.yaml", tmp_path / "_base.yaml")
    (tmp_path / "moons.yaml").write_text("extends: _base.yaml\n")
    assert call(["validate", "_base.yaml", "moons.yaml"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "_base.yaml: passed over, a fragment (its name begins with `_`)"
    assert second.startswith("moons.yaml: valid (")
    for alone in (["_base.yaml"], ["_base.yaml", "_base.yaml"]):
        assert call(["validate", *alone]) == 2
        shown = capsys.readouterr()
        assert "_base.yaml:1:1: is a fragment (its name begins with `_`), valid only as a parent" in shown.err
    assert call(["validate", "_nowhere.yaml", "moons.yaml"]) == 2, "what is not there is no fragment"
    (tmp_path / "_base.yaml").write_text("recipe: [")
    assert call(["validate", "_base.yaml", "moons.yaml"]) == 2, "its faults are those of the recipe that extends it"
