"""Recipes and flags that try to crash, hang or mislead the reader: each is answered with sentences, soon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cod_runner.api import Component, Options, hookimpl
from cod_runner.errors import MOST_FAULTS, RecipeError
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.chain import MOST_PARENTS, MOST_PROFILES
from cod_runner.recipe.checks import RESULT_KEYS
from cod_runner.recipe.writing import value_yaml
from cod_runner.recipe.yaml import DEEPEST
from cod_runner.registry import Registry
from cod_runner.runs.records import FIELDS

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]
Write = Callable[..., Path]


# --- what is no file that can be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "reason"),
    [
        ("~nouser/x", "cannot be read: could not determine home directory"),
        ("n" * 300, "cannot be read: File name too long"),
        ("n/" * 3000, "cannot be read: File name too long"),
        ('"a\\0b"', "cannot be read: embedded null byte"),
        ("/dev/zero", "is not a regular file"),
        ("fifo.yaml", "is not a regular file"),
        ("loop.yaml", "cannot be read: Too many levels of symbolic links"),
        (".", "is a folder"),
    ],
)
def test_a_parent_that_cannot_be_read_is_one_fault(
    parent: str, reason: str, write: Write, faults: FaultLines, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (line,) = faults(f"extends: {parent}\n")
    assert line.startswith("recipe.yaml:1:10: the parent ")
    assert line.endswith(reason)
    assert len(line) < 200


@pytest.mark.parametrize(
    "name", ["~nouser/x", "n" * 300, "n/" * 3000, "a\0b", "/dev/zero", "fifo", "loop", "_" + "n" * 300]
)
def test_a_recipe_that_cannot_be_read_is_one_fault(
    name: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    with pytest.raises(RecipeError, match=r"cannot be read|is not a regular file"):
        load_recipe(Path(name), registry)


def test_a_chain_of_parents_has_an_end(write: Write, registry: Registry) -> None:
    for number in range(MOST_PARENTS + 2):
        write(f"extends: {number + 1}.yaml\n", f"{number}.yaml")
    with pytest.raises(RecipeError, match=f"more than {MOST_PARENTS} files"):
        load_recipe(Path("0.yaml"), registry)


# --- very many mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["key_number_", "mdthods", ""], ids=["unlike", "like a key", "numbers"])
def test_very_many_unknown_keys_are_counted_and_soon(name: str, recipe: str, load: Load) -> None:
    started = time.process_time()
    with pytest.raises(RecipeError) as caught:
        load(recipe + "".join(f"{name}{number}: 1\n" for number in range(20_000)))
    assert time.process_time() - started < 10, "comparing each with each takes a minute"
    *lines, last = str(caught.value).splitlines()
    assert len(lines) == MOST_FAULTS
    assert last == f"recipe.yaml: and {20_000 - MOST_FAULTS:,} more faults"
    assert len(caught.value.faults) == 20_000


def test_very_many_wrong_expectations_are_counted_and_soon(recipe: str, load: Load) -> None:
    wrong = "".join(f"- {{metric: m{n}, method: m{n}, arm: cod, k: {n}, at_least: 0.1}}\n" for n in range(2_000))
    started = time.process_time()
    with pytest.raises(RecipeError, match="more faults"):
        load(recipe + "expect:\n" + wrong)
    assert time.process_time() - started < 10


def test_profiles_have_a_number(recipe: str, faults: FaultLines) -> None:
    (line,) = faults(recipe + "profiles:\n" + "".join(f"  p{n}: {{}}\n" for n in range(MOST_PROFILES + 1)))
    assert line.endswith(f"`profiles` has {MOST_PROFILES + 1} entries, more than {MOST_PROFILES}")


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        ".".join("a" * 5000) + "=1",
        "dataset." + ".".join("a" * 5000) + "=1",
        "describe=" + "[" * 5000,
        f"k.{'9' * 5000}=8",
        f"methods.kd.{'9' * 5000}=hard",
        f"k=[{'9' * 5000}]",
        f"seeds=[{'9' * 5000}]",
        "=1", "=", "", ".=1", "k.=1", "k..0=8", "extends=x", "profiles.x.k=[8]", "name=[/red]", "name=\x1b[31m",
        "name=\ud800", "name=\0", "name=..", "name=a/b", "k=!!python/object:os.system x", "k=&a [*a]",
    ],
    ids=lambda override: ascii(override[:40]),
)  # fmt: skip
def test_an_odd_override_is_a_fault(override: str, recipe: str, faults: FaultLines) -> None:
    (line,) = faults(recipe, overrides=[override])
    assert line.startswith("--set ")
    assert len(line) < 500
    assert line.isprintable()
    line.encode()


def test_the_deepest_override_is_answered(recipe: str, faults: FaultLines) -> None:
    assert faults(recipe, overrides=[".".join("a" * DEEPEST) + "=1"])
    (line,) = faults(recipe, overrides=[".".join("a" * (DEEPEST + 1)) + "=1"])
    assert line.endswith(f"leads more than {DEEPEST} levels deep")


@pytest.mark.parametrize("profile", ["../../x", "a/b", "a\\b", '"a\\eb"', "p" * 101])
def test_a_profile_leads_out_of_no_folder(profile: str, recipe: str, faults: FaultLines) -> None:
    (line,) = faults(recipe + f"profiles:\n  {profile}: {{}}\n")
    assert "cannot be part of a run folder's name" in line


def test_a_fault_shows_control_and_direction_characters(recipe: str, faults: FaultLines) -> None:
    (line,) = faults(recipe.replace("lwd: [hard,", 'lwd: ["\\e[31m\\u202e\\u2028",'))
    assert r"\x1b[31m\u202e" in line
    assert line.isprintable()


# --- metrics --------------------------------------------------------------------------------------------------------


def test_the_keys_of_a_result_are_known() -> None:
    assert set(FIELDS) == RESULT_KEYS


def test_a_metric_named_like_a_field_of_the_results_is_a_fault(recipe: str, write: Write, registry: Registry) -> None:
    class NoOptions(Options):
        pass

    class Plugin:
        @hookimpl
        def codrun_components(self) -> list[Component]:
            return [
                Component(kind="metric", name="seconds", build="nowhere:Seconds", options=NoOptions, summary="the time")
            ]

    assert registry.register("slow", "slow", Plugin).fault is None
    path = write(recipe + "evaluate: {metrics: [seconds]}\n")
    with pytest.raises(RecipeError, match="the metric `seconds` has the name of a key that codrun itself writes"):
        load_recipe(path, registry)


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028  b", "a\x85b", "\x1b", "# a", "a: b", "'", '"', "no", ""])
def test_a_value_is_written_on_one_line_and_read_back(text: str) -> None:
    written = value_yaml({"a": [text]})
    assert len(written.splitlines()) == 1
    assert yaml.safe_load(written) == {"a": [text]}
