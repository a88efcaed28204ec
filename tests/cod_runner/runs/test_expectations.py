from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cod_runner.recipe.expectation import Expectation
from cod_runner.report.terminal import show_verdicts
from cod_runner.runs import baseline
from cod_runner.runs.expectations import ExpectationResult, check_expectations
from cod_runner.runs.records import CellRow, MetricRecord, QualityRow, RunRecord


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
    assert "0.7200 ± 0.0283 over 2 seeds" in text
    assert [word in text for word in ("pass", "miss", "not run")] == [True, True, True]


def test_a_miss_says_what_was_expected_and_what_was_measured() -> None:
    (result,) = check_expectations([expected(metric="accuracy", arm="cod", at_least=0.9, at_most=1)], [], ROWS)
    assert result.sentence == (
        "accuracy, kd, cod, k = 16: at least 0.9, at most 1 expected, 0.7200 ± 0.0283 over 2 seeds measured"
    )
    assert result.seeds == (0, 1)
    assert result.deviation == pytest.approx(0.04 / math.sqrt(2))


def test_one_seed_has_no_deviation() -> None:
    (result,) = check_expectations([expected(metric="accuracy", arm="cod", at_least=0.9)], [], ROWS[3:4])
    assert (result.found, result.deviation) == ("0.7000 over 1 seed", None)


def test_the_record_says_what_the_result_says() -> None:
    (result,) = check_expectations([expected(metric="accuracy", arm="cod", at_least=0.9)], [], ROWS)
    names = ("what", "bound", "found", "verdict", "measured", "sentence")
    assert {name: getattr(result.record, name) for name in names} == {name: getattr(result, name) for name in names}
    assert result.record.seeds == [0, 1]


def test_a_recipe_that_expects_nothing_prints_nothing() -> None:
    console = Console(record=True, file=io.StringIO())
    show_verdicts(console, [each.record for each in check_expectations([], [], ROWS)])
    assert console.export_text() == ""


COSTLY = [
    row("plain", 0, 0.5, teacher_queries=16, train_seconds=2.0, usd=0.0, calibration_error=0.2),
    row("plain", 1, 0.5, teacher_queries=16, train_seconds=2.0, usd=0.0, calibration_error=0.4),
    row("plain", 2, 0.5, teacher_queries=16, train_seconds=1.0, usd=0.0, calibration_error=0.3),
    row("cod", 0, 0.6, teacher_queries=1216, train_seconds=3.0, usd=0.02, generator_calls=0),
    row("cod", 1, 0.6, teacher_queries=1416, train_seconds=40.0, usd=0.04, generator_calls=8),
    row("cod", 2, 0.6, teacher_queries=1316, train_seconds=2.0, usd=0.03, generator_calls=4),
    CellRow("hard", "hard", "cod", 16, 0, {"accuracy": 0.4}, train_seconds=1.5),
    CellRow("hard8", "hard", "cod", 8, 0, {"accuracy": 0.3}, train_seconds=1.0),
]


@pytest.mark.parametrize(
    ("fields", "verdict", "found"),
    [
        ({"metric": "teacher_queries", "arm": "cod", "at_most": 1316}, "pass", "1,316.00 ± 100.00 over 3 seeds"),
        ({"metric": "teacher_queries", "arm": "cod", "at_most": 1315}, "miss", "1,316.00 ± 100.00 over 3 seeds"),
        ({"gain": "teacher_queries", "at_most": 1300}, "pass", "1,300.00 ± 100.00 over 3 seeds"),
        ({"metric": "usd", "arm": "cod", "at_most": 0.03}, "pass", "0.0300 ± 0.0100 over 3 seeds"),
        ({"metric": "calibration_error", "arm": "plain", "at_most": 0.29}, "miss", "0.3000 ± 0.1000 over 3 seeds"),
        # 1.5, 20 and 2: a cell that had to wait for its machine does not decide
        ({"ratio": "train_seconds", "at_most": 2}, "pass", "median 2.0000 ± 10.5396 over 3 seeds"),
        ({"ratio": "train_seconds", "at_most": 1.9}, "miss", "median 2.0000 ± 10.5396 over 3 seeds"),
        ({"ratio": "train_seconds", "over": {"method": "hard"}, "at_most": 2}, "pass", "2.0000 over 1 seed"),
        ({"ratio": "train_seconds", "method": "hard", "over": {"k": 8}, "at_most": 1.4}, "miss", "1.5000 over 1 seed"),
        ({"gain": "accuracy", "over": {"method": "hard"}, "at_least": 0.2}, "pass", "0.2000 over 1 seed"),
    ],
)
def test_numbers_of_cells_are_judged(fields: dict[str, Any], verdict: str, found: str) -> None:
    (result,) = check_expectations([expected(**fields)], [], COSTLY)
    assert (result.verdict, result.found) == (verdict, found)


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"metric": "usd", "arm": "near_miss"}, "no cell of kd, near_miss, k = 16 is finished"),
        ({"metric": "teacher_usd", "arm": "cod"}, "the cells of kd, cod, k = 16 have no `teacher_usd`"),
        ({"ratio": "usd"}, "`usd` of kd, plain, k = 16 is 0, so there is no ratio"),
        (
            {"gain": "calibration_error", "arm": "plain", "over": "cod"},
            "the cells of kd, cod, k = 16 have no `calibration_error`",
        ),
        (
            {"gain": "accuracy", "arm": "late"},
            "the cells of kd, late, k = 16 and of kd, plain, k = 16 have no seed in common",
        ),
        ({"cfes": "yield", "method": None, "k": None}, "no counterfactual was searched"),
    ],
)
def test_a_miss_without_a_number_says_why(fields: dict[str, Any], cause: str) -> None:
    rows = [*COSTLY, row("late", 7, 0.5)]
    (result,) = check_expectations([expected(**fields, at_most=1)], [], rows)
    assert result.verdict == "miss"
    assert result.sentence == f"{result.what}: at most 1 expected, nothing measured: {cause}"


def test_measures_of_the_counterfactuals_are_judged() -> None:
    quality = [
        QualityRow(name="yield (originals with a verified flip)", all=0.8, flipped=None),
        QualityRow(name="minimality (edits / words)", all=0.4, flipped=0.2),
        QualityRow(name="edits", all=None, flipped=None),
    ]

    def judged(**fields: Any) -> tuple[str, str]:
        entry = Expectation.model_validate(fields)
        (result,) = check_expectations([entry], [], [], quality)
        return result.verdict, result.sentence

    assert judged(cfes="yield", at_least=0.8) == (
        "pass", "yield of the counterfactuals: at least 0.8 expected, 0.8000 measured",
    )  # fmt: skip
    assert judged(cfes="yield", at_least=0.81)[0] == "miss"
    assert judged(cfes="minimality", at_most=0.2)[0] == "pass"
    assert judged(cfes="edits", at_most=9)[1].endswith("nothing measured: no counterfactual has that measure")
    assert judged(cfes="flip_rate", at_least=0)[1].endswith("nothing measured: no counterfactual was searched")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Another run's folder: seeds 1 and 2, 0.5 and 0.7 of them, and a line of other settings."""
    folder = tmp_path / "base"
    folder.mkdir()
    lines = [row("cod", seed, value).to_json() for seed, value in ((1, 0.5), (2, 0.7), (3, 0.0))]
    record = RunRecord(
        recipe="base",
        metrics=[MetricRecord.unknown("accuracy")],
        cell_keys=[line["key"] for line in lines[:2]],
        quality=[QualityRow(name="edits", all=3.0, flipped=2.0)],
    )
    (folder / "run.json").write_text(record.model_dump_json())
    (folder / "cells.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def near(base: Path, within: float, own: Path = Path("elsewhere"), **fields: Any) -> ExpectationResult:
    rows = [row("cod", 0, 0.0), row("cod", 1, 0.62), row("cod", 2, 0.6)]
    entry = expected(**{"metric": "accuracy", "arm": "cod", **fields}, within=within, of=str(base))
    (result,) = check_expectations([entry], [], rows, [QualityRow(name="edits", flipped=2.5)], own)
    return result


def test_near_duplicates_to_another_run_is_over_the_seeds_that_both_have(base: Path) -> None:
    result = near(base, 0.01)
    assert (result.verdict, result.seeds, result.reference) == ("pass", (1, 2), pytest.approx(0.6))
    assert result.sentence == (
        "accuracy, kd, cod, k = 16: within 0.01 of the run base (0.6000) expected, 0.6100 ± 0.0141 over 2 seeds "
        "measured"
    )
    assert near(base, 0.009).verdict == "miss"
    up = near(base, 0.009, metric=None, gain="accuracy", arm="cod", over="plain")
    assert up.sentence.endswith("nothing measured: no cell of kd, plain, k = 16 is finished")
    none = {"metric": None, "arm": None, "method": None, "k": None, "cfes": "edits"}
    assert near(base, 0.5, **none).verdict == "pass"
    assert near(base, 0.4, **none).sentence == (
        "edits of the counterfactuals: within 0.4 of the run base (2.0000) expected, 2.5000 measured"
    )


def test_what_cannot_be_compared_is_a_miss_that_says_why(base: Path) -> None:
    def cause(of: Path = base, **fields: Any) -> str:
        result = near(of, 1.0, **fields)
        assert result.verdict == "miss"
        return result.cause

    gone = base.parent / "gone"
    assert cause(gone) == f"{gone} is not a folder; run the recipe that makes it first, or correct `of`"
    itself = base / ".." / "base"
    assert cause(own=itself) == f"{base} is the folder of this very run; name another with `of`, or with --out"
    lines = (base / "cells.jsonl").read_text()
    (base / "cells.jsonl").write_text(lines.replace('"arm": "cod"', '"arm": "x"'))
    assert cause() == f"in {base}, no cell of kd, cod, k = 16 is finished"
    (base / "cells.jsonl").write_text(lines.replace('"accuracy": 0.5', '"accuracy": NaN').replace("0.7", "Infinity"))
    assert cause() == f"in {base}, no cell of kd, cod, k = 16 is finished"
    (base / "cells.jsonl").write_text(lines.replace('"seed": 1', '"seed": 8').replace('"seed": 2', '"seed": 9'))
    assert cause() == f"this run and {base} have no seed in common"
    (base / "cells.jsonl").write_text("[1]\n")
    assert cause().startswith(f"{base}/cells.jsonl:1: the line is damaged")
    (base / "run.json").write_text("[]")
    assert cause().startswith(f"{base}/run.json is damaged")
    (base / "run.json").unlink()
    assert cause() == f"{base} has no run.json: it is not the folder of a run that has ended"


def test_only_plain_files_of_a_sane_size_are_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "moved").write_bytes((base / "cells.jsonl").read_bytes())
    (base / "cells.jsonl").unlink()
    (base / "cells.jsonl").symlink_to(base / "moved")
    assert near(base, 1.0).cause == f"{base}/cells.jsonl is not a regular file, and is not read"
    (base / "cells.jsonl").unlink()
    os.mkfifo(base / "cells.jsonl")  # reading it would wait for ever
    assert near(base, 1.0).cause == f"{base}/cells.jsonl is not a regular file, and is not read"
    (base / "cells.jsonl").unlink()
    (base / "moved").rename(base / "cells.jsonl")
    assert near(base, 1.0).verdict == "pass"
    monkeypatch.setattr(baseline, "LARGEST_CELLS", 10)
    assert near(base, 1.0).cause == f"{base}/cells.jsonl has more than 10 bytes, and is not read"
