"""Parents, profiles, `--set` and flags: what they change, and where their faults are reported."""

# ruff: noqa: E501 - tables of whole messages
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.errors import RecipeError
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.registry import Registry

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]
Write = Callable[..., Path]


# --- mappings merge, lists replace, another `use` replaces, alternatives clear each other, null removes -----------


def test_a_child_changes_what_it_says_and_keeps_the_rest(recipe: str, write: Write, load: Load) -> None:
    write(recipe + "train: {lr: 1.0e-3, batch_size: 4}\n", "_base.yaml")
    loaded = load("extends: _base.yaml\nname: child\nk: [32]\ntrain: {lr: 2e-5}\nmethods: {kd: [hard]}\n")
    assert loaded.recipe.name == "child"
    assert loaded.recipe.k == [32]
    assert (loaded.recipe.train.lr, loaded.recipe.train.batch_size) == (2e-5, 4)
    assert [loss.use for loss in loaded.recipe.methods["kd"]] == ["hard"]
    assert list(loaded.recipe.methods) == ["kd", "lwd"]


def test_grandparents_and_folders(recipe: str, write: Write, load: Load) -> None:
    write(recipe, "shared/deep/_a.yaml")
    write("extends: deep/_a.yaml\nk: [4]\nseeds: [5]\n", "shared/_b.yaml")
    loaded = load("extends: shared/_b.yaml\nk: [12]\n")
    assert (loaded.recipe.k, loaded.recipe.seeds) == ([12], [5])


@pytest.mark.parametrize(
    ("overlay", "path", "expected"),
    [
        ("train: {steps: 5}", "train", {"steps": 5, "epochs": None}),
        ("train: {steps: null}", "train", {"steps": None, "epochs": 7}),
        ("train: null", "train", {"epochs": 100}),
        ("train: {lr: null}", "train", {"lr": 6e-5, "epochs": 7}),
        ("student: {layers_from_teacher: [1, 3]}", "student", {"model": None, "layers_from_teacher": [1, 3]}),
        ("student: {max_length: 9}", "student", {"model": "small", "max_length": 9}),
        ("student: tiny", "student", {"use": "tiny"}),
        ("student: transformers", "student", {"use": "transformers", "model": "small"}),
        ("dataset: {quote: null}", "dataset", {"quote": '"', "text": "body"}),
        ("dataset: {use: preset}", "dataset", {"use": "preset", "labels": ["negative", "positive"]}),
        ("dataset: {values: {c: positive, a: null}}", "dataset", {"values": {"b": "positive", "c": "positive"}}),
        ("counterfactuals: {verify: false}", "counterfactuals", {"verify": False}),
        ("counterfactuals: {budget: {usd: 1}}", "counterfactuals", {"budget": {"calls": 3, "tokens": None, "usd": 1.0}}),
        ("evaluate: {split: test}", "evaluate", {"split": "test", "metrics": [{"use": "kl"}]}),
        ("executor: {use: processes}", "executor", {"use": "processes"}),
    ],
)  # fmt: skip
def test_a_profile_merges(overlay: str, path: str, expected: dict[str, Any], recipe: str, load: Load) -> None:
    text = recipe.replace("path: data.csv", "path: data.csv, text: body, quote: x, values: {a: negative, b: positive}")
    text = text.replace("[lexicon]}", "[lexicon], budget: {calls: 3}}")
    text += f"train: {{epochs: 7, lr: 1}}\nevaluate: {{metrics: [kl]}}\nprofiles:\n  p: {{{overlay}}}\n"
    loaded = load(text, profile="p")
    found = getattr(loaded.recipe, path).model_dump(mode="json")
    assert {key: found[key] for key in expected} == expected
    if path in ("student", "dataset") and "use" in expected and expected["use"] in ("tiny", "preset"):
        assert set(found) == set(expected)  # nothing of the replaced component is left


def test_null_in_a_plugins_option_is_a_value(recipe: str, load: Load) -> None:
    text = recipe.replace("path: data.csv", "path: data.csv, quote: null, values: {x: null}")
    assert load(text).recipe.dataset.options["quote"] is None
    assert load(text).recipe.dataset.options["values"] == {"x": None}


def test_null_removes_a_method_of_the_parent(recipe: str, write: Write, load: Load) -> None:
    write(recipe, "_base.yaml")
    assert list(load("extends: _base.yaml\nmethods: {lwd: null}\n").recipe.methods) == ["kd"]


def test_profiles_of_parent_and_child_stack(recipe: str, write: Write, load: Load) -> None:
    write(recipe + "profiles: {p: {k: [4], seeds: [9], train: {lr: 1}}, q: {k: [12]}}\n", "_base.yaml")
    text = "extends: _base.yaml\nprofiles: {p: {k: [20], train: {lr: null}}}\n"
    under_p, under_q = load(text, profile="p"), load(text, profile="q")
    assert (under_p.recipe.k, under_p.recipe.seeds, under_p.recipe.train.lr) == ([20], [9], 6e-5)
    assert under_q.recipe.k == [12]


# --- --set and flags -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "place", "expected"),
    [
        ("train.lr=2e-5", "train.lr", 2e-5),
        ("train.steps=5", "train.epochs", None),
        ("k=[4, 12]", "k", [4, 12]),
        ("name=other", "name", "other"),
        ("describe=a = b", "describe", "a = b"),
        ("methods.kd.1.weight=5", "methods.kd.1.weight", 5.0),
        ("methods.kd.1.temperature=3", "methods.kd.1.temperature", 3.0),
        ("methods.lwd.1.pool=cls", "methods.lwd.1.use", "lwd"),
        ("methods.lwd.1.pool=cls", "methods.lwd.1.pool", "cls"),
        ("methods.lwd.1=null", "methods.lwd", [{"use": "hard", "weight": 1.0}]),
        ("methods.new=[hard]", "methods.new", [{"use": "hard", "weight": 1.0}]),
        ("counterfactuals.generators.0.candidates=[1, 4]", "counterfactuals.generators.0.candidates", [1, 4]),
        ("counterfactuals.budget.usd=2", "counterfactuals.budget.usd", 2.0),
        ("student.layers_from_teacher=[1]", "student.model", None),
        ("student.use=tiny", "student", {"use": "tiny"}),
        ("student=tiny", "student", {"use": "tiny"}),
        ("executor.use=processes", "executor.use", "processes"),
        ("evaluate={metrics: [kl]}", "evaluate.metrics", [{"use": "kl"}]),
        ("evaluate.metrics.4=null", "evaluate.metrics.3.use", "ece"),
        ("train=", "train.lr", 6e-5),
    ],
)
def test_set(override: str, place: str, expected: Any, recipe: str, load: Load) -> None:
    found: Any = load(recipe, overrides=[override]).recipe.model_dump(mode="json")
    for step in place.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert found == expected


def test_overlays_come_in_their_order(recipe: str, load: Load) -> None:
    text = recipe + "profiles: {p: {k: [4], seeds: [1], name: profile}}\n"
    loaded = load(text, profile="p", overrides=["k=[12]", "seeds=[2]", "seeds=[3]"], flags={"k": [20]})
    assert (loaded.recipe.k, loaded.recipe.seeds, loaded.recipe.name) == ([20], [3], "profile")
    assert (loaded.written.k, loaded.written.name, loaded.profile) == ([8, 16], "small", "p")


def test_methods_flag_keeps_the_recipes_order(recipe: str, load: Load) -> None:
    assert list(load(recipe, flags={"methods": ["lwd", "kd"]}).recipe.methods) == ["kd", "lwd"]
    assert list(load(recipe, flags={"methods": ["lwd"], "arms": ["plain"]}).recipe.methods) == ["lwd"]


def test_set_may_complete_a_recipe(recipe: str, load: Load) -> None:
    text = recipe.replace("path: data.csv, ", "")
    loaded = load(text, overrides=["dataset.path=mine.csv"])
    assert loaded.recipe.dataset.options["path"] == str(Path.cwd() / "mine.csv")
    assert loaded.written == loaded.recipe


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"overrides": ["train.lr=x"]}, "--set train.lr=x: `train.lr` must be a number, not `x`"),
        ({"overrides": ["train.lr=[1"]}, "--set train.lr=[1: is not YAML: did not find expected ',' or ']' while parsing a flow sequence"),
        ({"overrides": ["trian.lr=1"]}, "--set trian.lr=1: unknown key `trian`; did you mean `train`?"),
        ({"overrides": ["train.lr"]}, "--set train.lr: write it as `key.path=value`"),
        ({"overrides": ["=1"]}, "--set =1: write it as `key.path=value`"),
        ({"overrides": ["extends=x.yaml"]}, "--set extends=x.yaml: `extends` belongs in a file and cannot be set"),
        ({"overrides": ["k.x=1"]}, "--set k.x=1: `k` is a list and has no item `x`; its items are 0 to 1"),
        ({"overrides": ["methods.kd.7.weight=1"]}, "--set methods.kd.7.weight=1: `methods.kd` is a list and has no item `7`; its items are 0 to 1"),
        ({"overrides": ["name.x=1"]}, "--set name.x=1: `name` is a single value and has no `x`"),
        ({"overrides": ["student=tinny"]}, "--set student=tinny: no student is named `tinny`; did you mean `tiny`?"),
        ({"overrides": ["name=!!python/none x"]}, "--set name=!!python/none x: the tag `!!python/none` is refused: a recipe is plain YAML and runs no code"),
        ({"flags": {"k": [6]}}, "--k: k=6 cannot be balanced over 2 classes and pairs of an original and its counterfactual: it must be a multiple of 4; 4 or 8 would do"),
        ({"flags": {"seeds": []}}, "--seeds: `seeds` is empty"),
        ({"flags": {"methods": ["kdd"]}}, "--methods: no method is named `kdd`; did you mean `kd`?"),
        ({"flags": {"methods": []}}, "--methods: names no method"),
        ({"flags": {"arms": ["codd"]}}, "--arms: no arm is named `codd`; did you mean `cod`?"),
        ({"profile": "offlin"}, "--profile: no profile is named `offlin`; did you mean `offline`?"),
    ],
)  # fmt: skip
def test_faults_of_flags_name_the_flag(given: dict[str, Any], line: str, recipe: str, faults: FaultLines) -> None:
    assert faults(recipe + "profiles: {offline: {k: [8]}, ci: }\n", **given) == [line]


def test_an_unknown_profile_where_there_is_none(recipe: str, faults: FaultLines) -> None:
    assert faults(recipe, profile="x") == ["--profile: no profile is named `x`; the recipe has no profiles"]


# --- positions survive ------------------------------------------------------------------------------------------


def test_a_fault_in_a_parent_is_reported_there(recipe: str, write: Write, faults: FaultLines) -> None:
    write(recipe.replace("weight: 20", "weight: -1") + "trian: {}\n", "paper/_base.yaml")
    assert faults("extends: paper/_base.yaml\nname: child\nk: [6]\n") == [
        "paper/_base.yaml:10:32: `methods.kd.1.weight` must be at least 0, not `-1`",
        "paper/_base.yaml:12:1: unknown key `trian`; did you mean `train`?",
        "recipe.yaml:3:5: k=6 cannot be balanced over 2 classes and pairs of an original and its counterfactual: "
        "it must be a multiple of 4; 4 or 8 would do",
    ]


def test_what_a_child_puts_right_is_no_fault(recipe: str, write: Write, load: Load) -> None:
    write(recipe.replace("k: [8, 16]\n", ""), "_base.yaml")
    assert load("extends: _base.yaml\nk: [8]\n").recipe.k == [8]


def test_a_parent_that_is_no_yaml(write: Write, faults: FaultLines) -> None:
    write("k: [1\n", "base.yaml")
    (line,) = faults("extends: base.yaml\n")
    assert line.startswith("base.yaml:2:1: is not YAML")


def test_a_circle_is_reported_where_it_closes(write: Write, faults: FaultLines) -> None:
    write("extends: b.yaml\n", "a.yaml")
    write("# b\nextends: recipe.yaml\n", "b.yaml")
    assert faults("extends: a.yaml\n") == [
        "b.yaml:2:10: `extends` goes in a circle: recipe.yaml -> a.yaml -> b.yaml -> recipe.yaml"
    ]


def test_a_missing_parent_suggests_a_near_one(recipe: str, write: Write, faults: FaultLines) -> None:
    write(recipe, "_deberta.yaml")
    assert faults("name: x\nextends: _debarta.yaml\n") == [
        "recipe.yaml:2:10: the parent `_debarta.yaml` does not exist; did you mean `_deberta.yaml`?"
    ]


def test_a_fragment_is_valid_only_as_a_parent(recipe: str, write: Write, registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"^_base\.yaml:1:1: is a fragment .* valid only as a parent of a recipe$"):
        load_recipe(write(recipe, "_base.yaml"), registry)


def test_a_profile_repeats_no_fault_of_the_recipe(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("weight: 20", "weight: -1") + "profiles: {a: {k: [4]}, b: {student: {model: 3}}}\n"
    expected = [
        "recipe.yaml:10:32: `methods.kd.1.weight` must be at least 0, not `-1`",
        "recipe.yaml:12:46: `student.model` must be text, not `3`",
    ]
    assert faults(text) == expected
    assert faults(text, profile="a") == expected


def test_a_fault_that_a_profile_causes_elsewhere_names_the_profile(recipe: str, faults: FaultLines) -> None:
    text = recipe + "profiles: {three: {dataset: {labels: [a, b, c]}}}\n"
    expected = [
        "recipe.yaml:4:5: k=8 cannot be balanced over 3 classes and pairs of an original and its counterfactual: "
        "it must be a multiple of 6; 6 or 12 would do (with the profile `three`)",
        "recipe.yaml:4:8: k=16 cannot be balanced over 3 classes and pairs of an original and its counterfactual: "
        "it must be a multiple of 6; 12 or 18 would do (with the profile `three`)",
    ]
    assert faults(text) == expected
    assert faults(text, profile="three") == expected
    assert faults(text, profile="three", flags={"seeds": [3]}) == expected


def test_set_may_complete_a_profile(recipe: str, load: Load, faults: FaultLines) -> None:
    text = recipe + "profiles: {p: {student: {use: transformers, model: null}}}\n"
    assert faults(text, profile="p") == [
        "recipe.yaml:7:10: `student`: give either `model` or `layers_from_teacher` (with the profile `p`)"
    ]
    loaded = load(text, profile="p", overrides=["student.layers_from_teacher=[1]"])
    assert loaded.recipe.student.options["layers_from_teacher"] == [1]


# --- paths ------------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file_that_says_them(recipe: str, write: Write, load: Load, tmp_path: Path) -> None:
    write(recipe.replace("path: data.csv", "path: data.csv, splits: {test: test.csv}"), "shared/_base.yaml")
    text = "extends: shared/_base.yaml\ndataset: {splits: {dev: dev.csv}}\n"
    options = load(text).recipe.dataset.options
    assert options["path"] == str(tmp_path / "shared/data.csv")
    assert options["splits"] == {"test": str(tmp_path / "shared/test.csv"), "dev": str(tmp_path / "dev.csv")}
    (tmp_path / "elsewhere").mkdir()
    moved = load(text, overrides=["dataset.path=set.csv"]).recipe.dataset.options
    assert moved["path"] == str(tmp_path / "set.csv")
    assert moved["splits"] == options["splits"]


def test_set_is_relative_to_the_working_folder(
    recipe: str, write: Write, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(recipe, "deep/recipe.yaml")
    loaded = load_recipe(path, registry, overrides=["dataset.path=set.csv"])
    assert loaded.folder == tmp_path / "deep"
    assert loaded.recipe.dataset.options["path"] == str(tmp_path / "set.csv")
    assert loaded.written.dataset.options["path"] == str(tmp_path / "deep/data.csv")
    monkeypatch.chdir(tmp_path / "deep")
    assert load_recipe(Path("recipe.yaml"), registry).recipe == loaded.written
