"""What an entry of ``expect:`` is about, which of them run, and the run's folder that one may name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.checks import RESULT_KEYS
from cod_runner.recipe.expectation import CELL_NUMBERS, CFE_MEASURES, Cells, CfeNumber, Expectation
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]


def expected(**fields: Any) -> Expectation:
    return Expectation.model_validate({"method": "kd", "k": 16, "at_least": 0, **fields})


@pytest.mark.parametrize(
    ("fields", "cells", "what"),
    [
        ({"metric": "usd", "arm": "cod"}, [("kd", "cod", 16)], "usd, kd, cod, k = 16"),
        ({"gain": "f1"}, [("kd", "cod", 16), ("kd", "plain", 16)], "gain of f1 (cod - plain), kd, k = 16"),
        ({"ratio": "f1", "over": "x"}, [("kd", "cod", 16), ("kd", "x", 16)], "ratio of f1 (cod / x), kd, k = 16"),
        (
            {"ratio": "f1", "arm": "x", "over": {"method": "hard"}},
            [("kd", "x", 16), ("hard", "x", 16)],
            "ratio of f1 (kd / hard), x, k = 16",
        ),
        (
            {"gain": "f1", "over": {"k": 8, "arm": "plain"}},
            [("kd", "cod", 16), ("kd", "plain", 8)],
            "gain of f1 (cod k = 16 - plain k = 8), kd",
        ),
        ({"cfes": "edits", "method": None, "k": None}, [], "edits of the counterfactuals"),
    ],
)
def test_what_an_entry_is_about(fields: dict[str, Any], cells: list[tuple[str, str, int]], what: str) -> None:
    wanted = expected(**fields)
    assert wanted.cells == tuple(Cells(*each) for each in cells)
    assert wanted.what == what


def test_its_names_are_those_of_a_line_and_of_the_quality_table() -> None:
    assert set(CELL_NUMBERS) <= RESULT_KEYS
    assert set(CFE_MEASURES) == set(get_args(CfeNumber))


def test_narrowing_leaves_out_what_it_is_about(recipe: str, load: Load) -> None:
    text = recipe + (
        "expect:\n"
        "  - {metric: teacher_queries, method: kd, arm: cod, k: 8, at_most: 1}\n"
        "  - {ratio: train_seconds, method: kd, k: 8, over: {method: lwd}, at_most: 2}\n"
        "  - {gain: kl, method: kd, k: 16, over: {k: 8}, at_most: 3}\n"
        "  - {cfes: minimality, at_most: 4}\n"
    )

    def limits(**given: Any) -> list[float | None]:
        return [each.at_most for each in load(text, **given).recipe.expect]

    assert limits() == [1, 2, 3, 4]
    assert limits(flags={"methods": ["kd"]}) == [1, 3, 4]
    assert limits(flags={"k": [8]}) == [1, 2, 4]
    assert limits(flags={"arms": ["plain"]}) == []
    assert limits(overrides=["evaluate={metrics: [f1]}"]) == [1, 2, 4]


def test_no_entry_changes_a_cell(recipe: str, load: Load, registry: Registry) -> None:
    more = "expect: [{ratio: seconds, method: kd, k: 8, over: {method: lwd}, within: 0.1, of: base}]\n"
    assert cells_of(load(recipe).recipe, registry) == cells_of(load(recipe + more).recipe, registry)


OF = "expect: [{cfes: yield, within: 0.1, of: runs/base}]\n"


def test_another_runs_folder_is_relative_to_the_recipe_that_names_it(
    recipe: str, load: Load, write: Callable[..., Path], tmp_path: Path, registry: Registry
) -> None:
    write(recipe + OF, "below/parent.yaml")
    (entry,) = load("extends: below/parent.yaml\n").recipe.expect
    assert entry.of == str(tmp_path / "below" / "runs" / "base")
    assert entry.bound == "within 0.1 of the run base"
    resolved = write(load("extends: below/parent.yaml\n").to_yaml(), "far/away.yaml")
    (again,) = load_recipe(resolved, registry, permissions=Permissions(folders=(tmp_path,))).recipe.expect
    assert again == entry
    (flagged,) = load(recipe, overrides=["expect=[{cfes: yield, within: 0.1, of: ../elsewhere}]"]).recipe.expect
    assert flagged.of == str(tmp_path / ".." / "elsewhere")


@pytest.mark.parametrize("of", ["../base", "/tmp", "link"])
def test_a_folder_elsewhere_needs_permission(
    of: str, recipe: str, load: Load, faults: FaultLines, tmp_path: Path, write: Callable[..., Path]
) -> None:
    write("", "here/x")
    (tmp_path / "here" / "link").symlink_to("/tmp")
    write(recipe + OF.replace("runs/base", of), "here/child.yaml")
    real = (tmp_path / "here" / of).resolve()
    lines = faults("extends: here/child.yaml\n")
    assert lines == [
        f"here/child.yaml:12:41: {real} is outside the recipe's folder, and a recipe reads no files from elsewhere by "
        f"itself: if you trust it with this one, run it with `--allow-folder {real.parent}`, or list the folder under "
        f"{lines[0].partition(' under ')[2]}"
    ]
    load("extends: here/child.yaml\n", permissions=Permissions(folders=(real.parent,)))


def test_a_path_that_no_system_takes_is_a_fault(recipe: str, faults: FaultLines) -> None:
    assert faults(recipe + 'expect: [{cfes: yield, within: 0.1, of: "a\\0b"}]\n') == [
        "recipe.yaml:12:41: `a\\x00b` cannot be a run's folder: embedded null byte"
    ]
