"""A teacher that only answers, from the recipe to the table: what it is shown, asked, calibrated by, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import opinions
import pytest
import torch
from opinions import WEIGHTS, World
from torch import Tensor

from cod_runner import pipeline
from cod_runner.api import Answering, BuildContext, Component, Input, Options, hookimpl
from cod_runner.context import RunSettings
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages.results import RunResult

RECIPE = """
recipe: 1
name: answers
describe: Is the film good?
dataset: films
k: [8]
seeds: [0, 1]
teacher: {use: answers, shots: 5, calibration: {texts: 30}}
student: opinions_student
counterfactuals: {generators: [edits]}
arms: {plain: {}, cod: {add: flips}, pool: {unlabelled: {from: pool, rows: 10}}}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 2, batch_size: 8, lr: 0.01, precision: fp32}
evaluate: {metrics: [accuracy, agreement]}
"""
LEANING = 1.5


class AnswersOptions(Options):
    shots: int = 0
    leave_one_out: bool = True
    usd: float | None = 0.0

    def answering(self) -> Answering:
        return Answering(
            shots=self.shots,
            leave_one_out=self.leave_one_out,
            leave_one_out_hint="" if self.leave_one_out else "allow it with `leave_one_out: true`",
        )


class Answers:
    """Weighs words, leans towards the second class, and notes what it is asked."""

    at_once = 7
    ASKED: list[str] = []  # noqa: RUF012 - read by the tests
    SHOWN: list[str] = []  # noqa: RUF012 - read by the tests

    def __init__(self, options: AnswersOptions, context: BuildContext) -> None:
        self.labels, self._usd = context.labels, options.usd
        self.SHOWN[:] = [str(shot.input) for shot in context.shots]
        self._name = f"answers {len(context.shots)} {context.describe}"

    @property
    def fingerprint(self) -> str:
        return self._name

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        self.ASKED += map(str, inputs)
        margins = [LEANING + sum(WEIGHTS.get(word, 0.0) for word in str(value).split()) for value in inputs]
        progress(len(inputs), len(inputs))
        return torch.log_softmax(torch.tensor([[-margin / 2, margin / 2] for margin in margins]), 1)

    def price(self, inputs: Sequence[Input]) -> float | None:
        return None if self._usd is None else self._usd * len(inputs)


class Scorers:
    """The plugin."""

    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("teacher", "answers", AnswersOptions, f"{__name__}:Answers", "weighs words")


@pytest.fixture
def registry() -> Registry:
    found = Registry.discover()
    found.register("world", opinions.__name__, lambda: World)
    found.register("scorers", __name__, lambda: Scorers)
    return found


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Answers.ASKED.clear()


def run(registry: Registry, *changes: str, out: str = "out") -> RunResult:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry, overrides=changes)
    return pipeline.run(loaded, registry, RunSettings(out=Path(out), jobs=1), Progress(quiet=True))


def test_a_run_asks_once_about_each_text_and_calibrates_what_it_hears(registry: Registry) -> None:
    result = run(registry)
    assert len(result.report.rows) == 6
    assert len(Answers.ASKED) == len(set(Answers.ASKED))
    teacher = json.loads(Path("out/run.json").read_text())["teacher"]
    assert teacher["shots"] == teacher["gold_labels"] == 5
    assert teacher["calibration"]["bias"]["positive"] == pytest.approx(LEANING / 2, abs=0.6)
    assert teacher["accuracy"] == 1.0
    assert not set(Answers.SHOWN) & set(Answers.ASKED)
    page = Path("out/table.md").read_text()
    assert "5 labelled texts are in its prompt" in page and "Calibrated by batch" in page
