"""Which files become tests, and which never do."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from moons_recipe import GAIN, MOONS, PLAIN, TESTS

from pytest_codrun import hooks

pytest_plugins = ["pytester"]

Write = Callable[..., Path]
Collected = Callable[..., list[str]]
ALL = [f"ci/moons.yaml::{name}" for name in TESTS]
HEAVY = ("torch", "transformers", "datasets", "litellm", "pandas", "sklearn", "matplotlib")


@pytest.mark.parametrize("argument", ["ci/moons.yaml", "ci", "."])
def test_a_named_file_or_folder_is_collected(argument: str, write: Write, collected: Collected) -> None:
    write()
    assert collected(argument) == ALL


def test_one_test_is_named_by_its_id(write: Write, collected: Collected) -> None:
    write()
    assert collected(ALL[2]) == [ALL[2]]
    assert collected("ci", "-k", "gain") == [ALL[2]]


def test_nothing_that_nobody_asked_for_is_collected(
    pytester: pytest.Pytester, write: Write, collected: Collected
) -> None:
    write("tests/moons.yaml")
    assert collected() == []
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    assert collected() == []
    assert collected("--codrun") == [f"tests/moons.yaml::{name}" for name in TESTS]
    pytester.makeini("[pytest]\ntestpaths = tests\ncodrun_recipes = tests\n")
    assert collected() == [f"tests/moons.yaml::{name}" for name in TESTS]
    assert collected("-p", "no:codrun", "-o", "addopts=") == []


def test_a_recipe_without_expectations_is_a_test_only_by_its_own_name(write: Write, collected: Collected) -> None:
    write("ci/moons.yaml", expect="")
    write("ci/blank.yaml", expect="expect: []\n")
    assert collected("ci") == []
    assert collected("ci/moons.yaml") == ["ci/moons.yaml::run"]


def test_children_are_recipes_by_their_chain_and_fragments_are_none(
    pytester: pytest.Pytester, write: Write, collected: Collected
) -> None:
    write("base/_moons.yaml")
    (pytester.path / "ci").mkdir()
    (pytester.path / "ci/child.yaml").write_text("extends: ../base/_moons.yaml\nname: child\n")
    (pytester.path / "ci/silent.yml").write_text("extends: child.yaml\nname: silent\nexpect: null\n")
    assert collected("ci", "base") == [f"ci/child.yaml::{name}" for name in TESTS]
    assert collected("base/_moons.yaml") == []


def test_a_profile_may_be_what_expects_something(write: Write, collected: Collected) -> None:
    expects = "{expect: [{metric: accuracy, method: kd, arm: cod, k: 8, at_least: 0.5}]}"
    write(expect="", add=f"profiles: {{ci: {expects}}}\n")
    assert collected("ci") == []
    expected = ["ci/moons.yaml::run", "ci/moons.yaml::accuracy, kd, cod, k = 8"]
    assert collected("ci", "--codrun-profile=ci") == expected
    assert collected("ci", "-o", "codrun_profile=ci") == expected


@pytest.mark.parametrize(
    "text",
    [
        "recipe: pancakes\n",
        "recipe: 2\nexpect: [1]\n",
        "recipe: true\nexpect: [1]\n",
        "services:\n  recipe: 1\n  expect: [1]\n",
        "extends: nowhere.yaml\n",
        "extends: [eslint, other]\nrules: {}\n",
        "- recipe: 1\n",
        "%@!#: [\n",
        "recipe\x00: 1\n",
        "",
        "recipe: 1\nexpect: [1]\n" + "# more\n" * 200_000,
    ],
    ids=range(11),
)
def test_other_people_s_files_are_left_alone(text: str, pytester: pytest.Pytester, collected: Collected) -> None:
    (pytester.path / "theirs.yaml").write_text(text)
    done = pytester.runpytest_inprocess(".")
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    done.assert_outcomes()


def test_the_copy_in_a_run_s_folder_is_not_a_second_test(
    pytester: pytest.Pytester, write: Write, collected: Collected
) -> None:
    write("runs/moons/recipe.yaml")
    (pytester.path / "runs/moons/run.json").write_text("{}")
    assert collected(".") == []
    assert collected("runs/moons/recipe.yaml") == [f"runs/moons/recipe.yaml::{name}" for name in TESTS]


def test_two_expectations_on_one_thing_have_two_names(write: Write, collected: Collected) -> None:
    entry = "  - {metric: accuracy, method: kd, arm: cod, k: 8, at_"
    write(expect=f"expect:\n{entry}least: 0.5}}\n{entry}most: 1}}\n{entry}most: 1}}\n")
    what = "ci/moons.yaml::accuracy, kd, cod, k = 8"
    assert collected("ci") == ["ci/moons.yaml::run", what, f"{what}, at most 1", f"{what}, at most 1 (2)"]


def test_faults_are_shown_where_they_stand(write: Write, call: Callable[..., pytest.RunResult]) -> None:
    write("ci/moons.yaml", ("weight: 20", "weigth: 20"), ("steps: 60", "steps: some"))
    done = call("ci")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["ci/moons.yaml:14:24: unknown key `methods.kd.1.weigth`; did you mean `weight`?"])
    done.stdout.fnmatch_lines(["ci/moons.yaml:15:16: *whole number*"])
    assert "Traceback" not in done.stdout.str() and "CollectError" not in done.stdout.str()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "extends: ../gone.yaml\nexpect:\n  - {metric: x}\n",
            "ci/x.yaml:1:10: the parent `../gone.yaml` does not exist",
        ),
        ("recipe: 1\nexpect: [\n", "ci/x.yaml:3:1: is not YAML: *"),
    ],
    ids=["a parent that was moved", "damaged"],
)
def test_a_test_that_cannot_be_read_does_not_vanish(
    text: str, said: str, pytester: pytest.Pytester, call: Callable[..., pytest.RunResult]
) -> None:
    (pytester.path / "ci").mkdir()
    (pytester.path / "ci/x.yaml").write_text(text)
    done = call("ci")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--codrun-profile=short", "--profile: no profile is named `short`*"),
        ("--codrun-set=train.stepz=1", "--set train.stepz=1: *did you mean `steps`*"),
        ("--codrun-arms=codd", "--arms: no arm is named `codd`; did you mean `cod`?"),
        ("--codrun-allow-host=http://x/", "error: --allow-host: `http://x/` is not a host*"),
    ],
)
def test_a_wrong_option_is_a_sentence(
    option: str, said: str, write: Write, call: Callable[..., pytest.RunResult]
) -> None:
    write()
    done = call("ci", option)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([said])


def test_numbers_are_checked_as_pytest_checks_them(write: Write, call: Callable[..., pytest.RunResult]) -> None:
    write()
    done = call("ci", "--codrun-k=many")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--codrun-k: invalid numbers value: 'many'"])


def test_no_library_is_imported_to_collect(pytester: pytest.Pytester, write: Write) -> None:
    write()
    loaded = f"[name for name in {HEAVY!r} if name in sys.modules]"
    pytester.makeconftest(f"import sys\ndef pytest_unconfigure():\n    print('HEAVY', {loaded})\n")
    done = pytester.runpytest_subprocess("--collect-only", "-q", "ci")
    assert ALL[2] in done.outlines
    assert "HEAVY []" in done.outlines


def test_a_session_without_recipes_imports_nothing_of_codrun(pytester: pytest.Pytester) -> None:
    (pytester.path / "docker-compose.yaml").write_text("services: {web: {extends: base}}\nrecipes: 1\n")
    pytester.makepyfile("def test_one(): pass")
    loaded = "[name for name in sys.modules if name.startswith(('cod_runner', 'codrun_'))]"
    pytester.makeconftest(f"import sys\ndef pytest_unconfigure():\n    print('LOADED', {loaded})\n")
    done = pytester.runpytest_subprocess(".")
    done.assert_outcomes(passed=1)
    assert "LOADED []" in done.outlines


def test_an_older_pytest_gets_no_hook_that_it_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = str(Path(hooks.__file__).with_name("plugin.py"))
    assert "pytest_collect_file" in runpy.run_path(plugin)
    monkeypatch.setattr(pytest, "version_tuple", (7, 4, 0))
    assert not [name for name in runpy.run_path(plugin) if name.startswith("pytest_")]


def test_help_teaches(pytester: pytest.Pytester) -> None:
    shown = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    assert (
        "codrun: recipes as tests (a file or folder named on the command line suffices: `pytest recipes/ci`)" in shown
    )
    assert "--codrun-set=KEY.PATH=VALUE override one key of each recipe" in shown
    assert "codrun_recipes (paths):" in shown


def test_the_names_are_those_of_the_recipe(write: Write) -> None:
    assert write().read_text().startswith(MOONS)
    assert TESTS == ["run", PLAIN, GAIN]
