"""A metric that is NaN or infinite: its cell fails, the others run, and it runs again once the metric is mended."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import Tensor

import cod_runner
from cod_runner.api import Component, Options, Predictions, hookimpl
from cod_runner.errors import CellsLeftOut
from cod_runner.plan import plan_of
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.running import RunResult

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
methods: {kd: [hard, {use: kd, weight: 2}]}
arms: [plain]
train: {steps: 5, lr: 0.01}
evaluate: {metrics: [accuracy, odd]}
expect:
  - {metric: odd, method: kd, arm: plain, k: 8, at_least: 0}
"""


class Odd:
    """Gives what it is told to, one value a call."""

    gives: ClassVar[list[float]] = []

    def __init__(self, options: Options, context: Any) -> None:
        pass

    def __call__(self, predictions: Predictions) -> float:
        return self.gives.pop(0)


class Witness:
    seen: ClassVar[list[str]] = []

    def __init__(self, options: Options, context: Any) -> None:
        pass

    @hookimpl
    def codrun_cell_finished(self, row: Any) -> None:
        self.seen.append(f"seed {row['seed']}")


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("metric", "odd", Options, f"{__name__}:Odd", "gives what it is told to")
        yield Component("tracker", "witness", Options, f"{__name__}:Witness", "sees cells that finish")


@pytest.fixture
def registry() -> Registry:
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    return registry


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> Any:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(RECIPE)

    def run(*gives: float, **more: Any) -> RunResult:
        monkeypatch.setattr(Odd, "gives", list(gives))
        monkeypatch.setattr(Witness, "seen", [])
        return cod_runner.run("tiny.yaml", jobs=1, registry=registry, **more)

    return run


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("runs/tiny/cells.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("bad", "shown"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_the_cell_fails_and_the_others_run(bad: float, shown: str, run: Any) -> None:
    result = run(bad, 0.5, overrides=["trackers=[witness]"])
    assert [line["seed"] for line in lines()] == [1]
    assert [row.seed for row in result.rows] == [1]
    assert Witness.seen == ["seed 1"]
    assert [path.name for path in Path("runs/tiny/students").iterdir()] == ["kd-plain-k8-s1"]
    (failed,) = result.record.failed
    assert (failed.name, failed.cause) == ("kd-plain-k8-s0", f"the metric `odd` is {shown}")
    sentence = (
        f"1 cell failed: the metric `odd` is {shown} (kd-plain-k8-s0); once that is mended, the same command runs them "
        "again and repeats nothing else"
    )
    with pytest.raises(CellsLeftOut) as left_out:
        result.raise_if_incomplete()
    assert str(left_out.value) == f"{sentence}; all other cells ran"
    assert result.exit_code == 1
    assert f"{sentence}." in result.report.notes
    assert not any("not finished" in note for note in result.report.notes)
    (judged,) = result.expectations
    assert (judged.verdict, judged.seeds, judged.measured) == ("pass", (1,), 0.5)
    assert "NaN" not in json.dumps(result.as_json()["cells"])


def test_it_runs_again_once_the_metric_is_mended_and_nothing_else_does(run: Any, registry: Registry) -> None:
    run(math.nan, 0.5)
    first = lines()
    assert plan_of(load_recipe(Path("tiny.yaml"), registry), registry, None).done == 1
    result = run(0.25)
    assert lines()[:1] == first
    assert [(line["seed"], line["odd"]) for line in lines()] == [(1, 0.5), (0, 0.25)]
    assert result.exit_code == 0
    assert result.record.failed == []
    assert not any("failed" in note for note in result.report.notes)
    assert (result.expectations[0].measured, result.expectations[0].seeds) == (0.375, (0, 1))
    assert run().rows == result.rows


def test_a_line_that_an_older_version_wrote_counts_as_not_finished(run: Any) -> None:
    result = run(0.5, 0.75)
    path = result.folder.cells
    path.write_text(path.read_text().replace('"odd": 0.75', '"odd": NaN'))
    again = run(0.7)
    assert [(row.seed, row.metrics["odd"]) for row in again.rows] == [(0, 0.5), (1, 0.7)]
    assert len(path.read_text().splitlines()) == 3


def test_a_student_whose_logits_are_not_numbers_has_failed_and_no_metric_is_asked(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cod_runner.stages import cell

    predict = cell.predict
    calls: list[int] = []

    def broken(*arguments: Any, **more: Any) -> Tensor:
        logits = predict(*arguments, **more)
        calls.append(1)
        if len(calls) == 1:
            logits[0, 0] = math.inf
        return logits

    monkeypatch.setattr(cell, "predict", broken)
    (failed,) = run(0.5, 0.5).record.failed
    assert failed.seed == 0
    assert Odd.gives == [0.5], "asked about the other cell alone"
    assert failed.cause == (
        "the student's logits on the evaluation split are infinite or NaN (try a smaller `train.lr`)"
    )


def test_many_failed_cells_are_counted(run: Any) -> None:
    result = run(*[math.nan] * 9, overrides=["seeds=[0, 1, 2, 3, 4, 5, 6, 7, 8]"])
    with pytest.raises(CellsLeftOut, match=r"^9 cells failed: .*kd-plain-k8-s5 and 3 more\); once"):
        result.raise_if_incomplete()
    (judged,) = result.expectations
    assert judged.sentence.endswith("nothing measured: no cell of kd, plain, k = 8 is finished")
