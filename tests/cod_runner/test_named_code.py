"""A recipe that names code to call: nothing is imported or called unless the user says so outside the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

import cod_runner
from cod_runner.cli import call
from cod_runner.errors import RecipeError

RECIPE = """recipe: 1
name: stranger
dataset: {use: moons, n: 300, validation: 60}
k: [4]
seeds: [0]
teacher: {use: mlp, hidden: [4], finetune: {rows: 50, steps: 3, lr: 0.01}}
student: {use: mlp, hidden: [4]}
methods: {kd: [hard, kd]}
arms: [plain]
train: {steps: 2}
executor: EXECUTOR
"""
EVIL = """from pathlib import Path

Path(__file__).with_name("imported").touch()

def make(**given):
    Path(__file__).with_name("called").touch()
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(1)
"""
SAID = (
    "`evil:make` is code, which would be called with the options beside it, and a recipe runs no code of its own: look "
    "at both, and if you trust them, add `--allow-callable evil:make` to the command"
)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "evil", raising=False)
    (tmp_path / "evil.py").write_text(EVIL)
    return written(tmp_path, "{use: futures, factory: 'evil:make'}")


def written(folder: Path, executor: str) -> Path:
    path = folder / "stranger.yaml"
    path.write_text(RECIPE.replace("EXECUTOR", executor))
    return path


def touched(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name in ("imported", "called"))


def test_code_that_a_recipe_names_is_neither_imported_nor_called(stranger: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        cod_runner.run(stranger)
    assert str(caught.value) == f"stranger.yaml:11:35: {SAID}"
    assert touched(stranger.parent) == []


def test_a_plan_says_what_would_be_called_and_if_it_may(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(recipe: Path, *flags: str) -> str:
        assert call(["plan", str(recipe), *flags]) == 0
        return " ".join(capsys.readouterr().out.split()).partition(" warning:")[0].partition("code: ")[2]

    named = "`evil:make` would be called (executor)"
    assert shown(stranger) == f"{named}: refused until the user allows it (`--allow-callable evil:make`)"
    assert shown(stranger, "--allow-callable", "evil:make") == named
    assert shown(stranger, "--set", "executor.factory=evil:make") == named
    assert shown(written(stranger.parent, "processes")) == ""
    assert touched(stranger.parent) == []


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_nor_where_a_recipe_is_only_looked_at(stranger: Path, command: str) -> None:
    assert call([command, str(stranger)]) == 0
    assert touched(stranger.parent) == []


def test_what_the_user_allows_is_called(stranger: Path) -> None:
    cod_runner.run(stranger, allow_callables=["evil:make"], jobs=1)
    assert touched(stranger.parent) == ["called", "imported"]


@pytest.mark.parametrize("allowed", ["evil", "make", "evil:made", "evil:*", "EVIL:make", "evil:make "])
def test_nothing_else_that_the_user_allows_allows_it(stranger: Path, allowed: str) -> None:
    with pytest.raises(RecipeError, match="is code"):
        cod_runner.run(stranger, allow_callables=[allowed])
    assert touched(stranger.parent) == []


@pytest.mark.parametrize(
    "executor",
    [
        "{use: futures, factory: 'evil:make', options: {address: 'tcp://evil:1'}}",
        "{use: futures, factory: 'x:y', options: {address: 'tcp://evil:1'}}",
        "{use: futures, factory: 'x:y', options: {deep: [{address: 'tcp://evil:1'}]}}",
        "{use: futures, factory: 'x:y', at_once: 2}",
    ],
)
def test_a_flag_that_names_the_code_does_not_allow_the_recipe_s_options_to_it(stranger: Path, executor: str) -> None:
    """They may name the address of a stranger's scheduler, say, whose answers are unpickled."""
    with pytest.raises(RecipeError, match="`evil:make` is code"):
        cod_runner.run(written(stranger.parent, executor), overrides=["executor.factory=evil:make"])
    assert touched(stranger.parent) == []


def test_what_flags_alone_say_needs_no_other_word(stranger: Path) -> None:
    recipe = written(stranger.parent, "processes")
    overrides = ["executor.factory=evil:make", "executor.options.workers=1"]
    cod_runner.run(recipe, executor="futures", overrides=overrides, jobs=1)
    assert touched(stranger.parent) == ["called", "imported"]


@pytest.mark.parametrize("name", ["os.system", "os", ":system", "os:", "os:sys tem", "os:system()", "../evil:make", ""])
def test_what_names_nothing_to_call_is_refused(stranger: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="write it as `module:callable`"):
        cod_runner.run(written(stranger.parent, f"{{use: futures, factory: {name!r}}}"), allow_callables=[name])
