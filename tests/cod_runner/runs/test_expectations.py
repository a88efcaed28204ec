from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from cod_runner.recipe.expectation import Expectation
from cod_runner.report.terminal import show_verdicts
from cod_runner.runs.expectations import check_expectations
from cod_runner.runs.records import CellRow


def row(arm: str, seed: int, accuracy: float, k: int = 16, **more: Any) -> CellRow:
    line = {"key": f"{arm}{k}{seed}", "method": "kd", "arm": arm, "k": k, "seed": seed, "accuracy": accuracy, **more}
    return CellRow.from_json(line, metrics=["accuracy"])


def expected(**fields: Any) -> Expectation:
    return Expectation.model_validate({"method": "kd", "k": 16, **fields})


ROWS = [row("plain", 0, 0.6), row("plain", 1, 0.7), row("plain", 2, 0.9), row("cod", 0, 0.7), row("cod", 1, 0.74)]
ROWS += [row("near_miss", 1, 0.72), row("near_miss", 2, 0.71)]


@pytest.mark.parametrize(
    ("fields", "verdict", "measured"),
    [
        ({"metric": "accuracy", "arm": "cod", "at_least": 0.72}, "pass", 0.72),  # exactly the bound
        ({"metric": "accuracy", "arm": "cod", "at_least": 0.721}, "miss", 0.72),
        ({"metric": "accuracy", "arm": "cod", "at_most": 0.72}, "pass", 0.72),
        ({"metric": "accuracy", "arm": "cod", "at_most": 0.71}, "miss", 0.72),
        ({"metric": "accuracy", "arm": "plain", "at_least": 0.7, "at_most": 0.75}, "pass", 2.2 / 3),
        # seeds 0 and 1 are in both arms: .10 and .04; seed 2 is not
        ({"gain": "accuracy", "at_least": 0.07}, "pass", 0.07),
        ({"gain": "accuracy", "at_least": 0.08}, "miss", 0.07),
        ({"gain": "accuracy", "at_most": 0.0}, "miss", 0.07),
        # near misses have seed 1 in common with CoD, and seeds 1 and 2 with plain: +.02 and -.19
        ({"gain": "accuracy", "over": "near_miss", "at_least": 0.02}, "pass", 0.02),
        ({"gain": "accuracy", "over": "near_miss", "at_least": 0.03}, "miss", 0.02),
        ({"gain": "accuracy", "arm": "near_miss", "at_most": -0.08}, "pass", -0.085),
        ({"gain": "accuracy", "arm": "plain", "over": "near_miss", "at_most": 0.08}, "miss", 0.085),
    ],
)
def test_means_over_seeds_are_judged(fields: dict[str, Any], verdict: str, measured: float) -> None:
    (result,) = check_expectations([expected(**fields)], [], ROWS)
    assert result.verdict == verdict
    assert result.missed == (verdict == "miss")
    assert result.measured == pytest.approx(measured)


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": "f1", "arm": "cod", "at_least": 0.0},
        {"metric": "accuracy", "arm": "cod", "at_least": 0.0, "k": 8},
        {"metric": "accuracy", "arm": "cod", "at_least": 0.0, "method": "lwd"},
        {"gain": "f1", "at_least": -1.0},
        {"gain": "accuracy", "over": "control", "at_least": -1.0},
    ],
)
def test_what_was_not_measured_is_a_miss(fields: dict[str, Any]) -> None:
    (result,) = check_expectations([expected(**fields)], [], ROWS)
    assert result.missed
    assert "nothing measured" in result.sentence


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_mean_that_is_not_finite_is_a_miss_for_any_bound(bad: float) -> None:
    rows = [row("cod", 0, 0.9), row("cod", 1, bad), row("plain", 0, 0.1), row("plain", 1, 0.1)]
    wanted = [
        expected(metric="accuracy", arm="cod", at_least=0.0),
        expected(metric="accuracy", arm="cod", at_most=1.0),
        expected(gain="accuracy", at_least=0.0),
        expected(gain="accuracy", at_most=1.0),
    ]
    assert all(result.missed for result in check_expectations(wanted, [], rows))


def test_rounding_alone_is_not_a_miss() -> None:
    # .3 - .2 is .09999999999999998 in floating point
    (result,) = check_expectations(
        [expected(gain="accuracy", at_least=0.1)], [], [row("plain", 0, 0.2), row("cod", 0, 0.3)]
    )
    assert result.verdict == "pass"


def test_an_entry_on_omitted_cells_is_listed_and_not_a_miss() -> None:
    omitted = expected(metric="accuracy", arm="cod", at_least=0.99)
    checked = expected(metric="accuracy", arm="cod", at_least=0.5)
    for expectations in ([omitted, checked], [checked]):
        results = {each.expectation: each for each in check_expectations(expectations, [omitted], ROWS)}
        assert (results[omitted].verdict, results[omitted].missed) == ("not run", False)
        assert results[checked].verdict == "pass"


def test_every_entry_is_shown_with_what_was_measured() -> None:
    wanted = [expected(metric="accuracy", arm="cod", at_least=0.9), expected(gain="accuracy", at_least=0.0)]
    omitted = expected(metric="f1", arm="plain", k=8, at_most=1.0)
    console = Console(record=True, width=160, file=io.StringIO())
    show_verdicts(console, [each.record for each in check_expectations(wanted, [omitted], ROWS)])
    text = console.export_text()
    assert "accuracy, kd, cod, k = 16" in text
    assert "gain of accuracy (cod - plain), kd, k = 16" in text
    (over,) = check_expectations([expected(gain="accuracy", arm="near_miss", over="cod", at_least=0.0)], [], ROWS)
    assert over.what == "gain of accuracy (near_miss - cod), kd, k = 16"
    assert "0.7200 over 2 seeds" in text
    assert [word in text for word in ("pass", "miss", "not run")] == [True, True, True]


def test_a_miss_says_what_was_expected_and_what_was_measured() -> None:
    (result,) = check_expectations([expected(metric="accuracy", arm="cod", at_least=0.9, at_most=1)], [], ROWS)
    assert result.sentence == (
        "accuracy, kd, cod, k = 16: at least 0.9, at most 1 expected, 0.7200 over 2 seeds measured"
    )


def test_a_recipe_that_expects_nothing_prints_nothing() -> None:
    console = Console(record=True, file=io.StringIO())
    show_verdicts(console, [each.record for each in check_expectations([], [], ROWS)])
    assert console.export_text() == ""
