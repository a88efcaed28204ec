"""What a loaded recipe holds: complete options, expectations that run and that do not, YAML that reads back."""

# ruff: noqa: E501 - tables of whole messages
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.fields import models_at
from cod_runner.recipe.grammar import COMPONENTS, Recipe, Teacher, Use, WeightedLoss, core_keys, kind_at
from cod_runner.recipe.writing import recipe_yaml
from cod_runner.recipe.yaml import resolve
from cod_runner.registry import Registry

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"), ("010", 10), ("12:30", "12:30"), ("1_000", "1_000"),
        ("2024-11-20", "2024-11-20"), ("2e-5", 2e-5), ("1.", 1.0), (".5", 0.5), ("6.0e-5", 6e-5), ("0x10", 16),
        ("0o17", 15), ("+3", 3), ("-3", -3), ("true", True), ("FALSE", False), ("tRue", "tRue"), ("null", None),
        ("~", None), ("", None), ("nul", "nul"), ("1e3", 1000.0), ("e3", "e3"), ("1.2.3", "1.2.3"), ("0b1", "0b1"),
        ("9" * 400, "9" * 400),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = resolve(text)
    assert found == value and type(found) is type(value)


def test_scalars_in_a_file(recipe: str, load: Load) -> None:
    text = recipe.replace("labels: [negative, positive]", "labels: [no, 12:30]").replace("weight: 20", "weight: 2e1")
    loaded = load(text + "train: {lr: 2e-5, epochs: 010}\ndescribe: '8'\n")
    assert loaded.recipe.dataset.options["labels"] == ["no", "12:30"]
    assert loaded.recipe.methods["kd"][1].weight == 20.0
    assert (loaded.recipe.train.lr, loaded.recipe.train.epochs, loaded.recipe.describe) == (2e-5, 10, "8")


def test_anchors_aliases_bom_and_windows_line_ends(recipe: str, load: Load) -> None:
    text = recipe.replace("kd: [hard, {", "kd: &kd [hard, {").replace("lwd: [hard, lwd]", "again: *kd")
    loaded = load(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert loaded.recipe.methods["again"] == loaded.recipe.methods["kd"]


def test_every_component_holds_its_complete_options(recipe: str, load: Load, tmp_path: Path) -> None:
    found = load(recipe).recipe
    assert found.dataset.options == {
        "path": str(tmp_path / "data.csv"), "splits": {}, "text": "text", "labels": ["negative", "positive"],
        "values": {}, "quote": '"', "rows": 100,
    }  # fmt: skip
    assert found.teacher.options == {"model": "big", "layers_from_teacher": None, "max_length": 256}
    assert found.methods["kd"][1].options == {"temperature": 2.0} and found.methods["kd"][1].weight == 20.0
    assert found.methods["lwd"][1].options == {"layers": "uniform", "pool": None}
    assert found.counterfactuals is not None
    assert found.counterfactuals.generators[0].options == {"words": None, "candidates": [1]}
    assert [metric.use for metric in found.evaluate.metrics] == ["accuracy", "agreement", "kl", "ece", "f1"]
    assert found.executor == Use(use="processes")


def test_the_resolved_recipe_runs_again_from_anywhere(
    recipe: str, load: Load, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipe.replace("path: data.csv", "path: data.csv, quote: null, values: {'1': negative, 'no': null}")
    text = text.replace("[lexicon]}", "[{use: lexicon, words: w.txt}], target: fixed, targets: {negative: positive, "
                        "positive: negative}, budget: {usd: 1.5}}")  # fmt: skip
    text += "describe: \"2e-5: 'no', 1., ü \\u0001 🙂 # {}\"\ntrain: {steps: 5, clip: 1}\ntrackers: [log]\n"
    text += (
        "expect: [{metric: kl, method: kd, arm: cod, k: 8, at_most: 3}, {gain: kl, method: kd, k: 8, at_least: 0}]\n"
    )
    text += "profiles: {p: {seeds: [7]}}\n"
    loaded = load(text, profile="p", flags={"methods": ["kd"]})
    elsewhere = tmp_path / "far" / "away.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(loaded.to_yaml(), encoding="utf-8")
    monkeypatch.chdir("/")
    again = load_recipe(elsewhere, registry, permissions=Permissions(folders=(tmp_path,)))
    assert again.recipe == loaded.recipe
    assert again.to_yaml() == loaded.to_yaml()
    assert again.recipe.describe == "2e-5: 'no', 1., ü \x01 🙂 # {}"
    assert "profiles" not in loaded.to_yaml() and "extends" not in loaded.to_yaml()


@pytest.mark.parametrize("text", ["no", "2e-5", "1.", "0o7", "12:30", "1_000", "null", "~", "", " a ", "a: b", "- x", "#", "é", "x\ny\n", "\t", "<<", "=", "*a", "2024-01-01", "TRUE", "\x07", "\x85"])  # fmt: skip
def test_any_text_survives_writing(text: str, recipe: str, load: Load) -> None:
    first = load(recipe).recipe.model_copy(update={"describe": text})
    assert load(recipe_yaml(first)).recipe == first


def test_expectations_that_run_and_that_do_not(recipe: str, load: Load) -> None:
    text = recipe + (
        "expect:\n"
        "  - {metric: kl, method: kd, arm: cod, k: 8, at_most: 1}\n"
        "  - {metric: kl, method: lwd, arm: cod, k: 8, at_most: 2}\n"
        "  - {metric: kl, method: kd, arm: cod, k: 16, at_most: 3}\n"
        "  - {gain: kl, method: kd, k: 8, at_most: 4}\n"
        "  - {metric: ece, method: kd, arm: plain, k: 8, at_most: 5}\n"
        "profiles: {ci: {k: [8], evaluate: {metrics: [kl]}, expect: [{metric: kl, method: kd, arm: cod, k: 8, at_most: 9}]}}\n"
    )  # fmt: skip

    def limits(loaded: LoadedRecipe) -> tuple[list[float | None], list[float | None]]:
        return [each.at_most for each in loaded.recipe.expect], [each.at_most for each in loaded.not_run]

    assert limits(load(text)) == ([1, 2, 3, 4, 5], [])
    assert limits(load(text, flags={"methods": ["kd"], "k": [8]})) == ([1, 4, 5], [2, 3])
    assert limits(load(text, flags={"arms": ["plain"]})) == ([5], [1, 2, 3, 4])
    assert limits(load(text, overrides=["k=[16]", "evaluate={metrics: [kl]}"])) == ([3], [1, 2, 4, 5])
    assert limits(load(text, profile="ci")) == ([9], [])
    narrowed = load(text, flags={"methods": ["lwd"]})
    assert len(narrowed.written.expect) == 5 and limits(narrowed) == ([2], [1, 3, 4, 5])


def test_an_expectation_of_a_profile_may_speak_of_what_the_profile_adds(
    recipe: str, load: Load, faults: FaultLines
) -> None:
    text = recipe + "profiles: {p: {k: [4], expect: [{metric: kl, method: kd, arm: cod, k: 4, at_most: 1}]}}\n"
    assert len(load(text, profile="p").recipe.expect) == 1
    assert load(text).recipe.expect == []
    assert faults(text.replace("k: 4,", "k: 5,")) == [
        "recipe.yaml:12:71: the recipe has no k of 5; there are: 4, 8, 16"
    ]


def test_loading_imports_nothing_heavy() -> None:
    heavy = "torch transformers datasets litellm pandas sklearn matplotlib numpy pyarrow typer rich"
    code = f"import cod_runner.recipe, cod_runner.recipe.schema, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_of_components_agrees_with_the_grammar() -> None:
    expected: dict[str, type[Use]] = {"teacher": Teacher, "loss": WeightedLoss}
    for pattern, kind in COMPONENTS.items():
        last = len(pattern) - 1
        place = tuple(
            0 if part == "#" or (part == "*" and index == last) else part for index, part in enumerate(pattern)
        )
        # An arm's `add` may be a list or one of its entries: its validator alone knows.
        assert list(models_at(Recipe, place)) == ([] if place[-1] == "add" else [expected.get(kind, Use)])
        assert kind_at(place) == kind
    schema = str(Recipe.model_json_schema())
    uses = sum(schema.count(f"'$ref': '#/$defs/{name}'") for name in ("Use", "Teacher", "WeightedLoss"))
    assert uses == len(COMPONENTS) - 1, "`add` is in the table twice: as a list and as its only entry"
    assert core_keys("loss") == {"use", "weight"} and core_keys("teacher") == {
        "use",
        "finetune",
        "calibration",
        "processes",
    }


def test_the_yaml_is_plain(recipe: str, load: Load) -> None:
    text = load(recipe).to_yaml()
    assert "&" not in text and "!" not in text
    assert yaml.safe_load(text)["name"] == "small"
