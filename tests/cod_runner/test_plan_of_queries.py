"""What a plan says of a teacher that only answers: whom it is asked about, by purpose, and what that may cost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scorers import DECLARED, Scorers

from cod_runner.api import CallEstimate, Component, Options, SettingError, hookimpl
from cod_runner.plan import Plan, plan_of
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

RECIPE = """\
recipe: 1
name: priced
dataset: {use: csv, path: data.csv, labels: [no, yes]}
k: [4, 8]
seeds: [0, 1]
teacher: {use: answers, calibration: {texts: 30, gold: 5}}
student: {use: transformers, model: nobody/small}
counterfactuals: {generators: [{use: word_dropout, rounds: 3}]}
methods: {kd: [hard, kd]}
arms: {plain: {}, cod: {add: flips}, pool: {unlabelled: {from: pool, rows: 10}}}
evaluate: {rows: 50}
train: {steps: 500, batch_size: 4}
"""
TRAINING = 2 * (3 * 8 + 10) + 30 + 5
SEARCH = 2 * (8 // 2) * 3
PAID = "teacher={use: answers, paid: true, usd: 0.01, calibration: none}"


class SilentOptions(Options):
    pass


class CallsOptions(Options):
    """A generator that calls a model once for each original, and tells of no questions."""

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate | None:
        return CallEstimate("generating", examples, examples, 10, 10, 1.0, 1.0)


class Strange:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("generator", "calls", CallsOptions, "never:built", "calls a model")
        yield Component("selector", "silent", SilentOptions, "never:built", "does not say whether it asks the teacher")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    found.register("scorers", "scorers", lambda: Scorers)
    found.register("strange", __name__, lambda: Strange)
    return found


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("text,label\n")
    (tmp_path / "r.yaml").write_text(RECIPE)


def planned(registry: Registry, *overrides: str) -> Plan:
    return plan_of(load_recipe(Path("r.yaml"), registry, overrides=overrides), registry, None)


def texts_of(plan: Plan) -> dict[str, int | None]:
    return {query.purpose: query.texts for query in plan.queries}


def shown(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(plan)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_queries_by_purpose(registry: Registry) -> None:
    plan = planned(registry)
    assert texts_of(plan) == {
        "training texts and calibration": TRAINING, "the search": SEARCH, "the evaluation": 50
    }  # fmt: skip
    assert all(query.calls is None for query in plan.queries)
    said = shown(plan)
    assert f"teacher queries: for training texts and calibration at most {TRAINING}\n" in said
    assert "model calls of generators: none" in said
    assert plan.warnings == []


def test_a_network_is_asked_for_nothing(registry: Registry) -> None:
    plan = planned(registry, "teacher={use: transformers, model: nobody/big}")
    assert plan.queries == [] and "teacher queries" not in shown(plan)
    assert "model calls: none" in shown(plan)


@pytest.mark.parametrize(
    ("change", "purpose", "texts"),
    [
        ("teacher.calibration=none", "training texts and calibration", TRAINING - 35),
        ("teacher.calibration=contextual", "training texts and calibration", TRAINING - 35 + 3),
        ("teacher.calibration={skewed: true}", "training texts and calibration", TRAINING - 30),
        ("teacher.calibration={texts: 7}", "training texts and calibration", TRAINING - 30 + 7),
        ("evaluate.select=best_dev", "the evaluation", 550),
        ("evaluate.rows=2", "the evaluation", 2),
        ("arms.plain={select: {use: margin, among: 40}}", "the choice of originals", 80),
        ("arms.cod={select: typical, add: flips}", "the choice of originals", None),
        ("arms=[plain]", "the search", None),
    ],
)
def test_what_decides_how_many(registry: Registry, change: str, purpose: str, texts: int | None) -> None:
    assert texts_of(planned(registry, change)).get(purpose) == texts
    if texts is None:
        assert purpose not in texts_of(planned(registry, change)), "nothing is asked, which is not unknown"


def test_without_a_word_on_calibration_100_texts_are_read(registry: Registry) -> None:
    Path("r.yaml").write_text(RECIPE.replace(", calibration: {texts: 30, gold: 5}", ""))
    assert texts_of(planned(registry))["training texts and calibration"] == TRAINING - 35 + 100


def test_arms_of_one_selector_ask_once(registry: Registry) -> None:
    select = "select: {use: margin, among: 40}"
    plan = planned(registry, f"arms.plain={{{select}}}", f"arms.cod={{{select}, add: flips}}")
    assert texts_of(plan)["the choice of originals"] == 80


@pytest.mark.parametrize(
    ("change", "purpose", "words"),
    [
        ("evaluate.rows=null", "the evaluation", "every row of `validation`, unless `evaluate.rows` says how many"),
        ("counterfactuals.generators=[calls]", "the search", "a number that its generators cannot say"),
        ("arms.plain={select: margin}", "the choice of originals", "a number that its selectors cannot say"),
        ("arms.plain={select: silent}", "the choice of originals", "a number that its selectors cannot say"),
    ],
)
def test_what_cannot_be_known_is_said_in_words(registry: Registry, change: str, purpose: str, words: str) -> None:
    plan = planned(registry, change)
    assert texts_of(plan)[purpose] is None
    assert f"teacher queries: for {purpose} {words}\n" in shown(plan)
    assert plan.warnings == []
    paid = planned(registry, change, PAID)
    assert f"the teacher is paid, and for {purpose} it is asked about {words}" in paid.warnings


def test_a_paid_teacher_is_priced_by_purpose(registry: Registry) -> None:
    plan = planned(registry, PAID)
    priced = {query.purpose: query.calls for query in plan.queries}
    training = priced["training texts and calibration"]
    assert training is not None
    assert (training.calls_low, training.calls_high, training.usd_low) == (68, 136, pytest.approx(0.68))
    evaluation = priced["the evaluation"]
    assert evaluation is not None and evaluation.usd_high == pytest.approx(1.0)
    assert "for the evaluation at most 50 (paid: 50 to 100 calls, 500 to 1,000 tokens, $0.50 to $1.00" in shown(plan)


def test_plan_as_json_has_them(registry: Registry) -> None:
    told = json.loads(json.dumps(planned(registry, PAID, "evaluate.rows=null").as_json()))["queries"]
    found: dict[str, Any] = {each["purpose"]: each for each in told}
    assert found["the search"]["texts"] == SEARCH and found["the search"]["calls"]["usd_low"] == SEARCH * 0.01
    assert found["the evaluation"]["texts"] is None and found["the evaluation"]["calls"] is None


NEEDED = 68 + SEARCH + 50


@pytest.mark.parametrize(("budget", "warned"), [(NEEDED - 1, True), (NEEDED, False)])
def test_a_budget_of_calls_that_cannot_do_is_warned_of(registry: Registry, budget: int, warned: bool) -> None:
    plan = planned(registry, PAID, f"budget={{calls: {budget}}}")
    sentence = f"budget allows {budget:,} calls, and the run needs about {NEEDED:,} calls at the least"
    assert any(warning.startswith(sentence) for warning in plan.warnings) is warned


def test_a_budget_bounds_teacher_and_generators_together(registry: Registry) -> None:
    generators = "counterfactuals.generators=[calls]"
    plan = planned(registry, PAID, generators, "budget={usd: 2, calls: 1000}")
    (warning,) = (each for each in plan.warnings if each.startswith("budget"))
    assert "budget allows $2.00, and the run needs about $2.18 at the least" in warning, "0.68 + 0.50 + 1.00"
    below = planned(registry, PAID, "counterfactuals={generators: [calls], budget: {calls: 3}}")
    assert any(each.startswith("counterfactuals.budget allows 3 calls") for each in below.warnings)


def test_usd_alone_cannot_bound_an_unknown_price(registry: Registry) -> None:
    unpriced = PAID.replace("usd: 0.01", "usd: null")
    with pytest.raises(SettingError, match=r"^budget bounds USD alone, but the price of `paid` is unknown") as caught:
        planned(registry, unpriced, "budget={usd: 1}")
    assert (caught.value.place, caught.value.setting) == ((), ("budget", "usd"))
    below = "counterfactuals={generators: [word_dropout], budget: {usd: 1}}"
    with pytest.raises(SettingError, match=r"^counterfactuals\.budget bounds USD alone") as caught:
        planned(registry, unpriced, below)
    assert (caught.value.place, caught.value.setting) == (("counterfactuals",), ("budget", "usd"))
    assert planned(registry, unpriced, "budget={usd: 1, calls: 1000}").queries


def test_a_loss_that_reads_layers_can_be_planned_where_no_size_is_known(registry: Registry) -> None:
    network = "teacher={use: transformers, model: nobody/never-fetched}"
    assert planned(registry, network, "methods.kd=[hard, relations]").signals.layers is None


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import scorers_declared
from cod_runner.plan import plan_of
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
found = Registry.discover()
found.register("scorers", "scorers_declared", lambda: scorers_declared.Declared)
plan = plan_of(load_recipe(Path("r.yaml"), found), found, None)
print(len(plan.queries), sorted({"torch", "transformers", "sklearn", "litellm", "numpy"} & set(sys.modules)))
"""
    (tmp_path / "scorers_declared.py").write_text(DECLARED)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "3 []\n", done.stderr


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("calls: 200", "budget allows 200 calls, and the run may need up to about 284 calls"),
        ("calls: 284", None),
        ("tokens: 100", "budget allows 100 tokens, and the run needs about 1,420 tokens at the least"),
        ("tokens: 2000", "budget allows 2,000 tokens, and the run may need up to about 2,840 tokens"),
        ("tokens: 2840", None),
        ("usd: 2.5, calls: 9999", "budget allows $2.50, and the run may need up to about $2.84"),
    ],
)
def test_a_budget_that_the_estimate_may_exceed_is_said(registry: Registry, budget: str, said: str | None) -> None:
    warnings = [each for each in planned(registry, PAID, f"budget={{{budget}}}").warnings if each.startswith("budget")]
    assert [warning.split(", less what")[0] for warning in warnings] == ([] if said is None else [said])
