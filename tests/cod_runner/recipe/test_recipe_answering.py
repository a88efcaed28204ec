"""What a recipe cannot ask of a teacher that only answers: one message each, at its line, before anything is built."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scorers import DECLARED, Scorers

from cod_runner.api import Answering, Component, Options, SettingError, hookimpl
from cod_runner.errors import RecipeError
from cod_runner.recipe import load_recipe
from cod_runner.recipe.grammar import Budget, Calibration, Recipe
from cod_runner.registry import Registry

RECIPE = """\
recipe: 1
name: answers
dataset: {use: csv, path: data.csv, labels: [negative, positive]}
k: [8]
seeds: [0]
teacher: {use: answers}
student: {use: transformers, model: /nowhere/small}
counterfactuals: {generators: [word_dropout]}
methods:
  kd: [hard, kd]
arms: [plain, cod]
"""
NETWORK = "{use: transformers, model: /nowhere/big}"


class UnsureOptions(Options):
    def answering(self) -> Answering | None:
        raise SettingError("`mode: fast` answers nothing", "mode")

    mode: str = "fast"


class Unsure:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("teacher", "unsure", UnsureOptions, "never:built", "raises when it is asked")


@pytest.fixture(scope="module")
def discovered() -> Registry:
    found = Registry.discover()
    found.register("scorers", "scorers", lambda: Scorers)
    found.register("unsure", __name__, lambda: Unsure)
    return found


@pytest.fixture
def found(discovered: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("text,label\n")

    def found(text: str, **given: Any) -> list[str]:
        Path("r.yaml").write_text(text)
        try:
            load_recipe(Path("r.yaml"), discovered, **given)
        except RecipeError as error:
            return str(error).splitlines()
        return []

    return found


def changed(*changes: tuple[str, str]) -> str:
    text = RECIPE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_nothing_is_wrong_with_the_recipe(found: Callable[..., list[str]]) -> None:
    assert found(RECIPE) == []
    assert found(changed(("{use: answers}", NETWORK))) == []
    assert found(changed(("{use: answers}", "{use: answers, processes: 2}"))) == []


HIDDEN = "reads the teacher's hidden states, and the teacher `answers` only answers; remove it, or take a teacher"
WORDS = "wants to know which words weigh most with the teacher, and asking `answers` about each text less each of its"
FAULTS = [
    (
        [("{use: answers}", "{use: answers, finetune: {rows: 8, epochs: 1}}")],
        "6:35: the teacher `answers` only answers, so it cannot be fine-tuned; remove it",
    ),
    (
        [("{use: answers}", "{use: litellm, model: openai/gpt-4o-mini, processes: 2}")],
        "6:63: the teacher `litellm` computes on another machine, which several processes would ask no faster; remove "
        "it",
    ),
    (
        [("{use: answers}", f"{NETWORK[:-1]}, calibration: batch}}")],
        "6:64: calibrates a teacher that only answers, and `transformers` is a network; remove it",
    ),
    (
        [("{use: transformers, model: /nowhere/small}", "{use: transformers, layers_from_teacher: [1]}")],
        "7:10: a student cannot be cut from the teacher `answers`, which only answers; name its `model`",
    ),
    *[
        ([("[hard, kd]", f"[hard, {loss}]")], f"10:14: the loss `{name}` {HIDDEN}")
        for name, loss in [
            ("lwd", "lwd"),
            ("lwd", "{use: lwd, layers: [[1, 1]]}"),
            ("lwd", "{use: lwd, pool: mean}"),
            ("ted", "ted"),
            ("relations", "relations"),
            ("crd", "crd"),
        ]
    ],
    (
        [("[word_dropout]", "[word_dropout, adversarial]")],
        "8:46: the generator `adversarial` steps along the teacher's gradient, and the teacher `answers` only answers; "
        "take another generator",
    ),
    (
        [("[word_dropout]", "[gradient]")],
        "8:32: the generator `gradient` steps along the teacher's gradient, and the teacher `answers` only answers; "
        "take another generator",
    ),
    (
        [("[word_dropout]", "[lexicon]"), ("{use: answers}", "{use: answers, leave_one_out: false}")],
        f"8:32: the generator `lexicon` {WORDS} words is a paid call for every word; take another generator",
    ),
    (
        [
            ("[word_dropout]", "[{use: masked_lm, model: /nowhere}]"),
            ("{use: answers}", '{use: answers, leave_one_out: false, hint: "allow it with `leave_one_out: true`"}'),
        ],
        f"8:32: the generator `masked_lm` {WORDS} words is a paid call for every word; allow it with "
        "`leave_one_out: true`, or take another generator",
    ),
    (
        [("arms: [plain, cod]", "arms: {plain: {}, near: {add: {use: adversarial}}}")],
        "11:31: the generator `adversarial` steps along the teacher's gradient, and the teacher `answers` only "
        "answers; take another generator",
    ),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_each_fault_is_one_message_at_its_line(
    found: Callable[..., list[str]], changes: list[tuple[str, str]], message: str
) -> None:
    (line,) = found(changed(*changes))
    assert line.removeprefix("r.yaml:").startswith(message)


def test_all_of_them_are_said_at_once(found: Callable[..., list[str]]) -> None:
    lines = found(
        changed(
            ("{use: answers}", "{use: answers, finetune: {rows: 8, epochs: 1}}"),
            ("[hard, kd]", "[hard, lwd]\n  ted: [ted]"),
            ("[word_dropout]", "[adversarial]"),
        )
    )
    assert [line.split(": ")[0] for line in lines] == ["r.yaml:6:35", "r.yaml:8:32", "r.yaml:10:14", "r.yaml:11:9"]


def test_a_teacher_that_shows_its_states_may_have_losses_that_read_them(found: Callable[..., list[str]]) -> None:
    text = changed(("{use: answers}", "{use: states}"), ("[hard, kd]", "[hard, {use: lwd, pool: cls}]"))
    assert found(text) == []


def test_leaving_words_out_is_allowed_where_it_is_cheap(found: Callable[..., list[str]]) -> None:
    assert found(changed(("[word_dropout]", "[lexicon]"))) == []
    dear = changed(("[word_dropout]", "[lexicon]"), ("{use: answers}", "{use: answers, leave_one_out: false}"))
    assert len(found(dear)) == 1
    unneeded = dear.replace("[plain, cod]", "[plain]")
    assert found(unneeded) == [], "a generator that no arm needs asks nothing"


def test_a_fault_of_a_profile_is_found_without_choosing_it(found: Callable[..., list[str]]) -> None:
    text = RECIPE.replace("teacher: {use: answers}", f"teacher: {NETWORK}").replace("[hard, kd]", "[hard, lwd]")
    text += "profiles:\n  llm:\n    teacher: {use: answers}\n"
    chosen = found(text, profile="llm")
    assert found(text) == chosen and chosen[0].endswith("(with the profile `llm`)")
    assert [line.split(": ")[0] for line in chosen] == ["r.yaml:10:14"]
    assert "the loss `lwd` reads the teacher's hidden states" in chosen[0]


def test_a_fault_of_a_flag_has_no_line(found: Callable[..., list[str]]) -> None:
    (line,) = found(RECIPE, overrides=["teacher.finetune={rows: 8, epochs: 1}"])
    assert line.startswith("--set teacher.finetune=") and "cannot be fine-tuned" in line


def test_what_a_plugin_says_of_its_options_is_said_at_its_line(found: Callable[..., list[str]]) -> None:
    (line,) = found(changed(("{use: answers}", "{use: unsure, mode: fast}")))
    assert line == "r.yaml:6:30: `mode: fast` answers nothing"


# --- the grammar ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "chosen"),
    [
        ({}, "batch"),
        ({"skewed": True}, "none"),
        ({"skewed": True, "by": "contextual"}, "contextual"),
        ({"skewed": True, "by": "batch"}, "batch"),
        ("none", "none"),
        ("contextual", "contextual"),
    ],
)
def test_how_is_calibrated_where_the_recipe_does_not_say(written: Any, chosen: str) -> None:
    assert Calibration.model_validate(written).chosen == chosen


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ("{by: bacth}", "6:43: `teacher.calibration.by` must be `none`, `batch` or `contextual`, not `bacth`"),
        ("{texts: 1}", "6:46: `teacher.calibration.texts` must be at least 2, not `1`"),
        ("{gold: -1}", "6:45: `teacher.calibration.gold` must be at least 0, not `-1`"),
        ("{tests: 20}", "6:39: unknown key `teacher.calibration.tests`; did you mean `texts`?"),
        ("bacth", "6:38: `teacher.calibration` must be `none`, `batch` or `contextual`, not `bacth`"),
        ("3", "6:38: `teacher.calibration` must be a mapping, not `3`"),
    ],
)
def test_what_is_no_calibration(found: Callable[..., list[str]], calibration: str, message: str) -> None:
    (line,) = found(changed(("{use: answers}", f"{{use: answers, calibration: {calibration}}}")))
    assert line.removeprefix("r.yaml:").startswith(message)


def test_there_is_one_budget(found: Callable[..., list[str]]) -> None:
    here, below = "budget: {calls: 5}\n", ("[word_dropout]}", "[word_dropout], budget: {usd: 1}}")
    assert found(RECIPE + here) == found(changed(below)) == []
    assert found(changed(below) + here) == [
        "r.yaml:8:55: `budget` already bounds the whole run, counterfactuals included; remove this one"
    ]
    profile = "profiles:\n  dear:\n    budget: {usd: 20}\n"
    (line,) = found(changed(below) + profile, profile="dear")
    assert line.startswith("r.yaml:8:55: `budget` already bounds")


def test_where_the_budget_stands_does_not_matter(discovered: Registry) -> None:
    plain = {
        "recipe": 1, "name": "x", "dataset": "csv", "k": [8], "seeds": [0], "teacher": "answers", "student": "small",
        "methods": {"kd": ["kd"]}, "counterfactuals": {"generators": ["word_dropout"]},
    }  # fmt: skip
    none = Recipe.model_validate(plain)
    here = Recipe.model_validate({**plain, "budget": {"calls": 0}})
    made = {"generators": ["word_dropout"], "budget": {"calls": 3}}
    below = Recipe.model_validate({**plain, "counterfactuals": made})
    assert none.bounds == Budget() and none.budget_key == "budget"
    assert here.bounds.calls == 0 and here.budget_key == "budget"
    assert below.bounds.calls == 3 and below.budget_key == "counterfactuals.budget"


@pytest.mark.parametrize("rows", ["1", "0", "-5", "many"])
def test_evaluation_rows_are_two_at_least(found: Callable[..., list[str]], rows: str) -> None:
    (line,) = found(f"{RECIPE}evaluate: {{rows: {rows}}}\n")
    assert line.startswith("r.yaml:12:18: `evaluate.rows` must be ")
    assert found(f"{RECIPE}evaluate: {{rows: 2}}\n") == []


def test_nothing_heavy_is_imported_to_check_it(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\n")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("[hard, kd]", "[hard, lwd]"))
    code = """
import sys
from pathlib import Path
from cod_runner.errors import RecipeError
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from scorers_declared import Declared
found = Registry.discover()
found.register("scorers", "scorers_declared", lambda: Declared)
try:
    load_recipe(Path("r.yaml"), found)
except RecipeError as error:
    print(error)
print(sorted({"torch", "transformers", "sklearn", "litellm", "numpy"} & set(sys.modules)))
"""
    (tmp_path / "scorers_declared.py").write_text(DECLARED)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    fault, heavy = done.stdout.splitlines()
    assert fault.startswith("r.yaml:10:14: the loss `lwd` reads the teacher's hidden states"), done.stderr
    assert heavy == "[]"
