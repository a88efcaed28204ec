"""``--executor`` takes the place of the recipe's, and never has another's options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cod_runner.errors import RecipeError
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.registry import Registry

RECIPE = """recipe: 1
name: small
dataset: {use: moons}
k: [4]
seeds: [0]
teacher: {use: mlp, finetune: {rows: 50, steps: 3}}
student: {use: mlp}
methods: {kd: [hard, kd]}
arms: [plain]
"""
REGISTRY = Registry.discover()


def loaded(folder: Path, line: str, executor: str | None, *overrides: str) -> LoadedRecipe:
    path = folder / "small.yaml"
    path.write_text(f"{RECIPE}{line}\n")
    return load_recipe(path, REGISTRY, executor=executor, overrides=overrides)


@pytest.mark.parametrize(
    ("line", "executor", "overrides", "use", "options"),
    [
        ("", "submitit", (), "submitit", {}),
        ("executor: {use: submitit, gpus: 2}", None, (), "submitit", {"gpus": 2}),
        ("executor: {use: submitit, gpus: 2}", "submitit", (), "submitit", {"gpus": 2}),
        ("executor: {use: submitit, gpus: 2}", "processes", (), "processes", {}),
        ("executor: submitit", "submitit", ("executor.gpus=1",), "submitit", {"gpus": 1}),
        ("", "submitit", ("executor.memory=8GB", "executor.time=2h"), "submitit", {"memory": 8 * 10**9, "time": 120}),
        ("executor: {use: futures, factory: 'a:b', options: {c: 1}}", "submitit", (), "submitit", {}),
        (
            "executor: {use: futures, factory: 'a:b', options: {c: 1}}",
            "futures",
            ("executor.factory=d:e",),
            "futures",
            {"factory": "d:e", "options": {"c": 1}},
        ),
    ],
)
def test_the_flag_comes_before_set(
    tmp_path: Path, line: str, executor: str | None, overrides: tuple[str, ...], use: str, options: dict[str, Any]
) -> None:
    found = loaded(tmp_path, line, executor, *overrides).recipe.executor
    assert found.use == use
    assert found.options == REGISTRY.options("executor", use, options).model_dump(mode="json")


@pytest.mark.parametrize(
    ("executor", "overrides", "said"),
    [
        ("submitit", ("executor.factory=a:b",), "--set executor.factory=a:b: unknown key `executor.factory`"),
        ("procesess", (), "--executor: no executor is named `procesess`; did you mean `processes`?"),
        ("futures", (), "--executor: `executor.factory` is missing"),
    ],
)
def test_what_is_wrong_is_said_of_the_flag(
    tmp_path: Path, executor: str, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, "executor: {use: processes}", executor, *overrides)
    assert str(caught.value).startswith(said)


def test_the_command_of_the_run_names_it(tmp_path: Path) -> None:
    flags = loaded(tmp_path, "", "submitit", "executor.gpus=1").flags
    assert flags == ("--executor", "submitit", "--set", "executor.gpus=1")
