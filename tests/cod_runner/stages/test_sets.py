"""What a training set needed, and how often its teacher disagrees with gold, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from cod_runner.api import Attempt, Example
from cod_runner.counterfactuals import Addition, PairOutcome
from cod_runner.data.fewshot import TrainingSet
from cod_runner.recipe.arms import STANDARD
from cod_runner.stages.additions import ArmAdditions
from cod_runner.stages.sets import _cost, _disagreements


class Search:
    def __init__(self, outcomes: dict[str, PairOutcome]) -> None:
        self.outcomes = outcomes


class Added:
    def __init__(self, search: Search) -> None:
        self.search = search


def judged(text: str, usd: float | None) -> Attempt:
    return Attempt(text, "some", 1, None, (0.2, 0.8), usd=usd)


def outcome(text: str, before: tuple[float, float], attempts: tuple[Attempt, ...], **more: Any) -> PairOutcome:
    return PairOutcome(
        original=text, counterfactual=f"{text} flipped", from_label=0, target=1, label=1, teacher_before=before,
        teacher_after=(0.2, 0.8), verified=True, edits=1.0, minimality=0.5, generator="some", attempts=attempts, **more,
    )  # fmt: skip


A, B, PASSED = (Example(name, f"text {name}", label) for name, label in (("a", 0), ("b", 1), ("c", 1)))
OUTCOMES = {
    "a": outcome(
        "text a",
        (0.9, 0.1),
        (Attempt("refused", "some", 1, "too many edits", usd=0.01), judged("text a flipped", 0.02)),
        asked=("asked on the way",),
        gradients=1,
    ),
    "b": outcome("text b", (0.7, 0.3), (judged("text b flipped", 0.03),)),
    "c": outcome("text c", (0.4, 0.6), (judged("text c flipped", 0.04),)),
}
ROWS = (A, Example("a~cf", "text a flipped", 1), B, Example("b~cf", "text b flipped", 1))
CHOSEN = TrainingSet(rows=ROWS, originals=(A, B), passed=(PASSED,))


def additions(outcomes: dict[str, PairOutcome] = OUTCOMES) -> ArmAdditions:
    search = Search(outcomes)
    return ArmAdditions(STANDARD["cod"], cast(list[Addition], [Added(search), Added(search)]))


def test_every_text_that_the_teacher_read_counts_once_and_every_candidate_is_a_call() -> None:
    cost = _cost(CHOSEN, additions(), {"picked", "text a"}, embedded=7)
    # the texts of a, b and c and the flip of each, one asked on the way, one that chose an original; and a gradient
    assert (cost.teacher_queries, cost.embedded, cost.generator_calls) == (8 + 1, 7, 4)
    assert cost.usd == pytest.approx(0.10)


def test_a_price_that_is_not_known_leaves_the_sum_unknown() -> None:
    unknown = replace(OUTCOMES["c"], attempts=(judged("text c flipped", None),))
    assert _cost(CHOSEN, additions({**OUTCOMES, "c": unknown}), set(), embedded=0).usd is None


def test_the_teacher_disagrees_where_its_class_is_not_gold() -> None:
    assert _disagreements(CHOSEN, additions()) == 1, "it reads b as class 0"
    assert _disagreements(replace(CHOSEN, originals=(A,)), additions()) == 0
    assert _disagreements(CHOSEN, additions({})) is None, "it was not asked"
