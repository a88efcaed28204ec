"""The JSON Schema for editors says of a recipe what the loader says of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ConfigDict

from cod_runner.api import Component, Options, hookimpl
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.nodes import Source, plain
from cod_runner.recipe.schema import json_schema
from cod_runner.recipe.yaml import read_file
from cod_runner.registry import Registry

RECIPES = sorted((Path(__file__).parents[3] / "recipes").rglob("*.yaml"))
INSTALLED = json_schema(Registry.discover())
"""With all of our plugins."""
Faults = Callable[[str], list[str]]


@pytest.fixture
def complaints(registry: Registry) -> Faults:
    """The places that the schema objects to in a YAML text."""
    validator = validator_of(json.dumps(json_schema(registry)))
    return lambda text: [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


@functools.cache
def validator_of(schema: str) -> jsonschema.Draft202012Validator:
    """Once for each schema, since checking a whole one takes a quarter of a second."""
    jsonschema.Draft202012Validator.check_schema(json.loads(schema))
    return jsonschema.Draft202012Validator(json.loads(schema))


def test_it_is_json_and_every_reference_leads_somewhere(registry: Registry) -> None:
    schema = json_schema(registry)
    text = json.dumps(schema)
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
    assert "the file" in text and "peak learning rate" in text and "the loss kd" in text


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


@pytest.mark.parametrize(
    "added",
    [
        "",
        "train: {steps: 5, betas: [0.9, 0.98]}\nexecutor: processes\ntrackers: [{use: log}]",
        "evaluate: {metrics: [kl, {use: ece}]}\narms: [plain]",
        "expect: [{gain: kl, method: kd, k: 8, at_least: 0}]",
        "expect: [{ratio: seconds, method: kd, k: 8, over: {method: lwd}, at_most: 2}, {cfes: edits, at_most: 3}]",
        "expect: [{metric: usd, method: kd, arm: cod, k: 8, within: 0.1, of: base}]",
        "profiles: {ci: {k: [8], student: {layers_from_teacher: [1]}, train: {lr: null}, dataset: preset}, no: null}",
    ],
)
def test_valid_recipes_are_valid(
    added: str, recipe: str, complaints: Faults, load: Callable[..., LoadedRecipe]
) -> None:
    text = f"{recipe}{added}\n"
    load(text)
    assert complaints(text) == []


def test_arms_of_every_sort_are_valid(all_arms: str, complaints: Faults, load: Callable[..., LoadedRecipe]) -> None:
    assert complaints(all_arms) == []
    assert complaints(load(all_arms).to_yaml()) == []


@pytest.mark.parametrize(
    "arm",
    [
        "{add: {use: word_dropout, share: 0.5}, keep: any}",
        "{add: word_dropout, balanced: false}",
        "{add: [word_dropout, {use: lexicon, candidates: [2]}, flips], keep: flip, per_original: 2, of: others}",
        "{add: [], select: {use: typical, neighbours: 5}}",
        "{add: [misses], choose: middle}",
        "{add: flips, unlabelled: {from: word_dropout, per_original: 2}}",
        "{unlabelled: {from: {use: word_dropout, share: 0.3}, per_original: 2}, choose: null}",
    ],
)
def test_every_way_to_write_an_arm_is_valid(
    arm: str, recipe: str, complaints: Faults, load: Callable[..., LoadedRecipe]
) -> None:
    text = f"{recipe.replace('[8, 16]', '[84]')}train: {{batch_size: 84}}\narms: {{plain: {{}}, mine: {arm}}}\n"
    load(text)
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("arms", "place"),
    [
        ("[plain, codd]", "$.arms"),
        ("[plain, plain]", "$.arms"),
        ("[]", "$.arms"),
        ("{}", "$.arms"),
        ("cod", "$.arms"),
        ("{mine: {add: flip}}", "$.arms"),
        ("{mine: {add: [flips, {use: kd}]}}", "$.arms"),
        ("{mine: {add: {use: word_dropout, shear: 0.5}}}", "$.arms"),
        ("{mine: {add: {use: word_dropout, share: 2}}}", "$.arms"),
        ("{mine: {select: lexicon}}", "$.arms"),
        ("{mine: {add: flips, choose: typical}}", "$.arms"),
        ("{mine: {add: flips, keep: flips}}", "$.arms"),
        ("{mine: {add: flips, per_original: 0}}", "$.arms"),
        ("{mine: {add: flips, of: another}}", "$.arms"),
        ("{mine: {unlabelled: {from: flips, per_original: 1}}}", "$.arms"),
        ("{mine: {unlabelled: {rows: 5}}}", "$.arms"),
        ("{mine: {unlabeled: {from: pool, rows: 5}}}", "$.arms"),
    ],
)
def test_nonsense_in_arms_is_refused(arms: str, place: str, recipe: str, complaints: Faults) -> None:
    assert complaints(f"{recipe}arms: {arms}\n") == [place]


def test_who_has_a_parent_may_list_its_arms_and_remove_them(complaints: Faults) -> None:
    assert complaints("extends: _base.yaml\narms: [plain, near_miss]") == []
    assert complaints("extends: _base.yaml\narms: {near_miss: null, cod_2: {per_original: 3}}") == []
    assert complaints("extends: _base.yaml\nprofiles: {short: {arms: [near_miss]}}") == []
    assert complaints("extends: _base.yaml\narms: {cod_2: {per_orignal: 3}}") == ["$.arms"]
    assert complaints("extends: _base.yaml\narms: [1]") == ["$.arms"]


def test_children_and_fragments_are_partial(complaints: Faults) -> None:
    assert complaints("extends: _base.yaml\nrecipe: 1\nstudent: {max_length: 9}\nmethods: {lwd: null}") == []
    assert complaints("dataset: {path: x.csv}\ncounterfactuals: {verify: false}") == []
    assert complaints("extends: _base.yaml\nstudent: {max_lenght: 9}") == ["$.student"]


def test_resolved_recipes_are_valid(recipe: str, complaints: Faults, load: Callable[..., LoadedRecipe]) -> None:
    text = load(recipe + "train: {steps: 5}\n").to_yaml()
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("recipe: 1", "recipe: 2", "$.recipe"),
        ("k: [8, 16]", "k: [1]", "$.k[0]"),
        ("k: [8, 16]\n", "", "$"),
        ("use: csv", "use: cvs", "$.dataset"),
        ("path: data.csv", "paht: data.csv", "$.dataset"),
        ("weight: 20", "weight: -1", "$.methods.kd[1]"),
        ("temperature: 2", "temperature: hot", "$.methods.kd[1]"),
        ("{use: csv, path: data.csv, labels: [negative, positive]}", "csv", "$.dataset"),
        ("[lexicon]", "[]", "$.counterfactuals"),
        ("seeds: [0, 1]", "seeds: [0, 1]\ntrian: {}", "$"),
        ("seeds: [0, 1]", "seeds: [0, 1]\ntrain: {epoch: 1}", "$.train"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nexpect: [{gain: kl, method: kd, at_least: 0}]", "$.expect[0]"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nexpect: [{cfes: edit, at_most: 3}]", "$.expect[0].cfes"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nexpect: [{cfes: edits, within: -1, of: x}]", "$.expect[0].within"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nprofiles: {x: {trian: {}}}", "$.profiles.x"),
    ],
)
def test_faults_are_found(old: str, new: str, place: str, recipe: str, complaints: Faults) -> None:
    assert old in recipe
    assert complaints(recipe.replace(old, new, 1)) == [place]


class Odd:
    pass


class OddOptions(Options):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    needed: int
    odd: Odd | None = None


class OddPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("loss", "odd", OddOptions, "nowhere:Nothing", "an option that JSON Schema has no word for")


def test_a_plugin_without_a_schema_of_its_own_spoils_nothing(registry: Registry) -> None:
    registry.register("odd", "odd", OddPlugin)
    schema = json_schema(registry)
    assert schema["$defs"]["loss.odd"]["required"] == ["use", "needed"]
    assert "odd" not in schema["$defs"]["loss"]["anyOf"][0]["enum"]


def test_a_registry_without_components_has_a_schema_too() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(Registry()))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_recipe_of_ours_is_valid_fragments_and_children_too(path: Path) -> None:
    root = read_file(path, Source(path.name, path.parent), [])
    assert root is not None
    assert [error.message for error in jsonschema.Draft202012Validator(INSTALLED).iter_errors(plain(root))] == []


def _options(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """(definition, key, its schema, whether it is required) of every mapping that a whole recipe may contain."""
    for name, definition in schema["$defs"].items():
        if not name.startswith("partial."):
            for key, option in definition.get("properties", {}).items():
                yield name, key, option, key in definition.get("required", ())


def test_every_option_of_ours_is_explained() -> None:
    told = {f"{name}.{key}": option.get("description", "") for name, key, option, _ in _options(INSTALLED)}
    assert len(told) > 300
    assert [place for place, words in told.items() if len(words.split()) < 2] == []


def test_every_option_of_ours_has_its_default_or_is_required() -> None:
    of_the_file = {"file.extends", "file.profiles"}
    assert {
        f"{name}.{key}"
        for name, key, option, required in _options(INSTALLED)
        if not required and "default" not in option
    } == of_the_file


def test_a_default_stands_in_the_description_once() -> None:
    said = {f"{name}.{key}": option["description"] for name, key, option, _ in _options(INSTALLED)}
    assert said["TrainSettings.batch_size"] == "examples per step; even where there are pairs (default: 8)"
    assert said["loss.kd.weight"] == said["loss.lwd.weight"] == "factor of this term in the sum (default: 1.0)"
    assert said["Budget.calls"] == "model calls; absent: as many as are needed"
    assert INSTALLED["$defs"]["Evaluate"]["properties"]["metrics"]["default"] == [
        {"use": "accuracy"}, {"use": "agreement"}, {"use": "kl"}, {"use": "ece"}, {"use": "f1"},
    ]  # fmt: skip


def test_every_component_is_explained_where_its_name_is_completed() -> None:
    registry = Registry.discover()
    for kind in ("loss", "metric", "selector", "executor"):
        names, *mappings = INSTALLED["$defs"][kind]["anyOf"]
        told = {name: registry.find(kind, name).summary for name in names["enum"]}
        assert dict(zip(names["enum"], names["enumDescriptions"], strict=True)) == told
        for each in mappings:
            use = INSTALLED["$defs"][each["$ref"].removeprefix("#/$defs/")]["properties"]["use"]
            assert use == {"const": use["const"], "description": registry.find(kind, use["const"]).summary}
            assert use["description"]
