"""Arms told in full: what each means, how overlays change them, what cannot work, and the keys of their cells."""

# ruff: noqa: E501 - tables of whole messages
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]

THREES = "train: {batch_size: 6}\n"


def told(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What each arm says beside the defaults."""
    return {name: arm.model_dump(mode="json", exclude_defaults=True) for name, arm in recipe.arms.items()}


def keys(recipe: Recipe, registry: Registry) -> dict[str, str]:
    return {cell.name: cell.key for cell in cells_of(recipe, registry)}


def arms_in(text: str, load: Load, **given: Any) -> dict[str, dict[str, Any]]:
    return told(load(text, **given).recipe)


# --- what they mean ---------------------------------------------------------------------------------------------------


def test_each_arm_says_what_it_means(all_arms: str, load: Load) -> None:
    dropout = {"use": "word_dropout", "share": 0.15}
    typical = {"use": "typical", "encoder": "small", "neighbours": 20}
    recipe = load(all_arms).recipe
    assert told(recipe) == {
        "plain": {},
        "cod": {"add": ["flips"]},
        "near_miss": {"add": ["misses"]},
        "dropout": {"add": [dropout], "keep": "same"},
        "cod_2": {"add": ["flips"], "per_original": 2},
        "brackets": {"add": ["misses", "flips"]},
        "unpaired": {"add": ["flips"], "of": "others"},
        "typical": {"select": typical},
        "typical_cod": {"select": typical, "add": ["flips"]},
        "answers": {"add": ["flips"], "unlabelled": {"from": "attempts", "per_original": 8}},
        "pool": {"unlabelled": {"from": "pool", "rows": 500}},
    }
    sizes = {name: (arm.group, arm.originals(12, 2)) for name, arm in recipe.arms.items()}
    assert sizes == {
        "plain": (1, 6), "cod": (2, 3), "near_miss": (2, 3), "dropout": (2, 3), "cod_2": (3, 2), "brackets": (3, 2),
        "unpaired": (2, 3), "typical": (1, 6), "typical_cod": (2, 3), "answers": (2, 3), "pool": (1, 6),
    }  # fmt: skip
    assert {name for name, arm in recipe.arms.items() if arm.uses_section} == {
        "cod", "near_miss", "cod_2", "brackets", "unpaired", "typical_cod", "answers",
    }  # fmt: skip


def test_every_component_of_an_arm_is_built_and_no_other(all_arms: str, load: Load) -> None:
    recipe = load(all_arms + "  chosen: {add: {use: word_dropout, share: 0.5}, choose: middle, keep: any}\n").recipe
    used = [(place, kind, use.use) for place, kind, use in recipe.used() if place[0] in ("arms", "counterfactuals")]
    assert (("arms", "dropout", "add", 0), "generator", "word_dropout") in used
    assert (("arms", "typical", "select"), "selector", "typical") in used
    assert (("arms", "chosen", "choose"), "chooser", "middle") in used
    assert (("counterfactuals", "generators", 0), "generator", "lexicon") in used
    without = recipe.model_copy(update={"arms": {"plain": recipe.arms["plain"]}})
    assert [use.use for _, kind, use in without.used() if kind in ("generator", "chooser")] == []


def test_a_list_and_a_mapping_of_plain_and_cod_are_the_same_cells(recipe: str, load: Load, registry: Registry) -> None:
    forms = [
        "",
        "arms: [plain, cod]\n",
        "arms: {plain: {}, cod: {add: flips}}\n",
        "arms: {cod: {add: [flips]}, plain: {add: []}}\n",
    ]
    found = [keys(load(recipe + form).recipe, registry) for form in forms]
    assert len(found[0]) == 16
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("same", ["", "same_originals: true\n", "same_originals: false\n"])
def test_a_resolved_recipe_has_the_same_cells(
    same: str, all_arms: str, load: Load, registry: Registry, tmp_path: Path
) -> None:
    loaded = load(all_arms + same)
    again = load_recipe(_written(tmp_path, loaded), registry, permissions=Permissions(folders=(tmp_path,)))
    assert again.recipe == loaded.recipe
    assert keys(again.recipe, registry) == keys(loaded.recipe, registry)
    assert again.to_yaml() == loaded.to_yaml()


def test_a_resolved_recipe_with_a_list_has_the_same_cells(
    recipe: str, load: Load, registry: Registry, tmp_path: Path
) -> None:
    loaded = load(recipe + "control: word_dropout\narms: [cod, control, plain]\n")
    again = load_recipe(_written(tmp_path, loaded), registry, permissions=Permissions(folders=(tmp_path,)))
    assert keys(again.recipe, registry) == keys(loaded.recipe, registry)
    assert again.recipe.same_originals is False, "each of a list passes over its own"


def _written(folder: Path, loaded: LoadedRecipe) -> Path:
    path = folder / "resolved" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(loaded.to_yaml(), encoding="utf-8")
    return path


# --- keys -------------------------------------------------------------------------------------------------------------


def test_what_decides_an_arm_is_in_its_key(recipe: str, load: Load, registry: Registry) -> None:
    def key(arm: str, more: str = "") -> str:
        text = recipe.replace("[8, 16]", "[12]") + f"train: {{batch_size: 12}}\n{more}arms: {{x: {arm}}}\n"
        return keys(load(text).recipe, registry)["kd-x-k12-s0"]

    told_apart = [
        key("{}"), key("{add: flips}"), key("{add: misses}"), key("{add: [misses, flips]}"),
        key("{add: [flips, misses]}"), key("{add: flips, per_original: 2}"), key("{add: flips, of: others}"),
        key("{select: typical}"), key("{select: {use: typical, neighbours: 3}}"), key("{balanced: false}"),
        key("{add: word_dropout, keep: same}"), key("{add: word_dropout, keep: any}"), key("{add: word_dropout}"),
        key("{add: {use: word_dropout, share: 0.3}}"), key("{add: flips, choose: middle}"),
        key("{add: flips, unlabelled: {from: attempts, per_original: 8}}"),
        key("{add: flips, unlabelled: {from: attempts, per_original: 9}}"),
        key("{unlabelled: {from: pool, rows: 5}}"), key("{unlabelled: {from: word_dropout, per_original: 5}}"),
    ]  # fmt: skip
    assert len(set(told_apart)) == len(told_apart)
    assert key("{add: word_dropout, keep: flip}") == key("{add: word_dropout}"), "the default"
    section = "counterfactuals: {generators: [lexicon], max_edits: 0.4}\n"
    with_it = recipe.replace("counterfactuals: {generators: [lexicon]}\n", section)
    assert keys(load(with_it).recipe, registry)["kd-cod-k8-s0"] != keys(load(recipe).recipe, registry)["kd-cod-k8-s0"]
    assert (
        keys(load(with_it).recipe, registry)["kd-plain-k8-s0"] == keys(load(recipe).recipe, registry)["kd-plain-k8-s0"]
    )


def test_arms_that_share_their_originals_are_in_each_others_keys(recipe: str, load: Load, registry: Registry) -> None:
    def found(arms: str, same: str = "") -> dict[str, str]:
        return keys(load(f"{recipe}arms: {{plain: {{}}, cod: {{add: flips}}, {arms}}}\n{same}").recipe, registry)

    misses, longer = "m: {add: misses}", "m: {add: {use: word_dropout, share: 0.5}, keep: same}"
    for name, with_misses, with_words in ((name, found(misses)[name], found(longer)[name]) for name in found(misses)):
        assert (with_misses == with_words) == ("-plain-" in name), "arms that add nothing draw by themselves"
    alone = "same_originals: false\n"
    assert found(misses, alone)["kd-cod-k8-s0"] == found(longer, alone)["kd-cod-k8-s0"]
    together = "same_originals: true\n"
    assert found(misses, together)["kd-plain-k8-s0"] != found(longer, together)["kd-plain-k8-s0"]
    assert (
        found("p: {select: typical}", together)["kd-plain-k8-s0"]
        == found("q: {balanced: false}", together)["kd-plain-k8-s0"]
    )


PINNED = """
recipe: 1
name: pinned
dataset: {use: moons, n: 200}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [4]}
student: {use: mlp, hidden: [4]}
counterfactuals: {generators: [{use: gradient, step: 0.05}]}
control: word_dropout
methods:
  kd: [hard, {use: kd, weight: 20, temperature: 2}]
arms: [plain, cod, control]
train: {steps: 5, lr: 0.01}
"""
KEYS = {
    "kd-plain-k8-s0": "00b68ad53e3e2df82d81691a09f765d3",
    "kd-cod-k8-s0": "34ec5ca1316c99dd67e03abde9523cfa",
    "kd-control-k8-s0": "efc1f4ed6cf0ead1bab4eab0d13182b8",
}
"""As codrun made them before arms could be told in full."""


@pytest.mark.parametrize("arms", [["plain", "cod", "control"], ["cod", "control"], ["control"]])
def test_cells_of_older_recipes_keep_their_keys(arms: list[str], write: Callable[..., Path]) -> None:
    registry = Registry.discover()
    found = keys(load_recipe(write(PINNED), registry, flags={"arms": arms}).recipe, registry)
    assert found == {name: key for name, key in KEYS.items() if name.split("-")[1] in arms}


# --- overlays ---------------------------------------------------------------------------------------------------------

MAPPED = "arms: {plain: {}, cod: {add: flips}, near_miss: {add: misses}, x: {add: word_dropout, keep: same}}\n"


def test_the_flag_chooses_among_the_arms_that_are_defined(recipe: str, load: Load) -> None:
    near_miss, cod = {"add": ["misses"]}, {"add": ["flips"]}
    assert arms_in(recipe + MAPPED, load, flags={"arms": ["near_miss", "cod"]}) == {"near_miss": near_miss, "cod": cod}
    defined = "arms: {cod: {add: flips, per_original: 3}}\n"
    assert arms_in(recipe + defined, load, flags={"arms": ["plain", "cod"]}) == {
        "plain": {}, "cod": {"add": ["flips"], "per_original": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arms", "profile", "expected"),
    [
        (MAPPED, "[cod, x]", ["cod", "x"]),
        (MAPPED, "{y: {}, x: null}", ["plain", "cod", "near_miss", "y"]),
        ("arms: [plain, cod]\n", "{y: {add: misses}}", ["plain", "cod", "y"]),
        ("arms: [plain, cod]\n", "{cod: null}", ["plain"]),
        ("arms: [plain, cod]\n", "[cod]", ["cod"]),
        ("", "{y: {add: misses}}", ["y"]),
    ],
)
def test_a_profile_chooses_adds_and_removes(
    arms: str, profile: str, expected: list[str], recipe: str, load: Load
) -> None:
    text = f"{recipe}{arms}profiles: {{p: {{arms: {profile}}}}}\n"
    assert list(arms_in(text, load, profile="p")) == expected


def test_a_child_chooses_among_its_parents_arms(recipe: str, write: Callable[..., Path], load: Load) -> None:
    write(recipe + MAPPED, "_base.yaml")
    assert list(arms_in("extends: _base.yaml\narms: [x, plain]\n", load)) == ["x", "plain"]
    assert arms_in("extends: _base.yaml\narms: {x: {keep: any}}\n", load)["x"] == {
        "add": [{"use": "word_dropout", "share": 0.15}], "keep": "any",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "arm", "expected"),
    [
        ("arms.near_miss.per_original=3", "near_miss", {"add": ["misses"], "per_original": 3}),
        ("arms.cod.per_original=3", "cod", {"add": ["flips"], "per_original": 3}),
        (
            "arms.x.add=[flips, misses, word_dropout]",
            "x",
            {"add": ["flips", "misses", {"use": "word_dropout", "share": 0.15}], "keep": "same"},
        ),
        ("arms.x.add.share=0.5", "x", {"add": [{"use": "word_dropout", "share": 0.5}], "keep": "same"}),
        ("arms.x.add=lexicon", "x", {"add": [{"use": "lexicon", "words": None, "candidates": [1]}], "keep": "same"}),
        ("arms.new.add=misses", "new", {"add": ["misses"]}),
        (
            "arms.plain.select.use=typical",
            "plain",
            {"select": {"use": "typical", "encoder": "small", "neighbours": 20}},
        ),
        ("arms.plain.unlabelled={from: pool, rows: 3}", "plain", {"unlabelled": {"from": "pool", "rows": 3}}),
    ],
)
def test_set_reaches_into_an_arm(override: str, arm: str, expected: dict[str, Any], recipe: str, load: Load) -> None:
    assert arms_in(recipe + MAPPED, load, overrides=[override])[arm] == expected


def test_set_reaches_into_an_arm_of_a_list(recipe: str, load: Load) -> None:
    found = arms_in(recipe + "arms: [plain, cod]\n", load, overrides=["arms.cod.per_original=3"])
    assert found == {"plain": {}, "cod": {"add": ["flips"], "per_original": 3}}
    assert list(arms_in(recipe + "arms: [plain, cod]\n", load, overrides=["arms.1=null"])) == ["plain"]


def test_of_two_amounts_the_one_that_is_set_stays(recipe: str, load: Load) -> None:
    text = recipe + "arms: {x: {unlabelled: {from: pool, rows: 3}}}\n"
    found = arms_in(text, load, overrides=["arms.x.unlabelled={from: word_dropout, per_original: 2}"])
    words = {"use": "word_dropout", "share": 0.15}
    assert found["x"] == {"unlabelled": {"from": words, "per_original": 2}}


def test_a_list_that_a_flag_shortens_has_the_cells_of_the_list(recipe: str, load: Load, registry: Registry) -> None:
    text = recipe + "control: word_dropout\narms: [plain, cod, control]\n"
    whole = keys(load(text).recipe, registry)
    for given in ({"flags": {"arms": ["cod", "control"]}}, {"overrides": ["arms=[cod, control]"]}):
        part = keys(load(text, **given).recipe, registry)
        assert part == {name: key for name, key in whole.items() if "-plain-" not in name}


# --- what cannot work -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (MAPPED + "profiles: {p: {arms: [near_mis, cod]}}\n", ["13:23: no arm is named `near_mis`; did you mean `near_miss`?"]),
        (MAPPED + "profiles: {p: {arms: [nothing]}}\n", ["13:23: no arm is named `nothing`; there are: cod, control, near_miss, plain, x"]),
        ("arms: {plain: {}}\nprofiles: {p: {arms: {plain: null}}}\n", ["12:7: `arms` is empty (with the profile `p`)"]),
        (
            "arms: {x: {add: flips, per_original: 2}}\n",
            [
                "4:5: k=8 cannot be balanced over 2 classes and groups of 3 (`x`): it must be a multiple of 6; 6 or 12 would do",
                "4:8: k=16 cannot be balanced over 2 classes and groups of 3 (`x`): it must be a multiple of 6; 12 or 18 would do",
                "12:11: `train.batch_size` must be a multiple of 3, not 8: a batch of the arm `x` holds whole groups of 3",
            ],
        ),
        (
            "k: [12]\narms: {x: {add: [misses, flips]}, cod: {add: flips}}\ntrain: {batch_size: 4}\n",
            ["13:21: `train.batch_size` must be a multiple of 3, not 4: a batch of the arm `x` holds whole groups of 3"],
        ),
        (
            "k: [12, 20]\narms: {x: {add: [misses, flips]}, cod: {add: flips}}\ntrain: {batch_size: 6}\n",
            ["4:9: k=20 cannot be balanced over 2 classes and groups of 2 (`cod`) and groups of 3 (`x`): it must be a multiple of 12; 12 or 24 would do"],
        ),
        (
            "k: [5]\narms: {x: {balanced: false, add: flips}}\n",
            ["4:5: k=5 cannot be balanced over 2 classes and pairs of an original and its counterfactual: it must be a multiple of 2; 4 or 6 would do"],
        ),
        ("k: [5]\narms: {x: {balanced: false}}\n", []),
        ("arms: {x: {add: flips, of: others}}\ntrain: {batch_size: 7}\n", []),
        ("arms: {x: {add: control}}\n", ["12:11: the arm `x` needs `control`, the generator of its copies"]),
    ],
)  # fmt: skip
def test_what_groups_and_batches_need(
    added: str, expected: list[str], recipe: str, load: Load, faults: FaultLines
) -> None:
    k, _, rest = added.partition("\n") if added.startswith("k:") else ("k: [8, 16]", "", added)
    text = recipe.replace("k: [8, 16]", k) + rest
    if not expected:
        load(text)
        return
    assert faults(text) == [f"recipe.yaml:{each}" for each in expected]


@pytest.mark.parametrize(
    ("arm", "fault"),
    [
        ("misses", "11:11: the arm `x` needs `counterfactuals`"),
        ("[word_dropout, flips]", "11:11: the arm `x` needs `counterfactuals`"),
    ],
)
def test_flips_and_misses_need_the_section(arm: str, fault: str, recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("counterfactuals: {generators: [lexicon]}\n", "").replace("[8, 16]", "[12]")
    assert faults(f"{text}arms: {{x: {{add: {arm}}}}}\ntrain: {{batch_size: 6}}\n") == [f"recipe.yaml:{fault}"]


def test_an_arm_with_a_generator_of_its_own_needs_no_section(recipe: str, load: Load) -> None:
    text = recipe.replace("counterfactuals: {generators: [lexicon]}\n", "")
    assert list(arms_in(text + "arms: {x: {add: word_dropout}}\n", load)) == ["x"]


def test_without_verification_an_original_has_one_counterfactual(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("[lexicon]}", "[lexicon], verify: false}").replace("[8, 16]", "[12]")
    assert faults(text + "train: {batch_size: 6}\narms: {x: {add: flips, per_original: 2}}\n") == [
        "recipe.yaml:13:11: with `verify: false` the first answer is taken, so the arm `x` cannot have 2 of each original"
    ]
