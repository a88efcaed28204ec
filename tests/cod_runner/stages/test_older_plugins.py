"""Plugins written for the contracts of before: what would be misread is refused, with what to move where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from cod_runner import running
from cod_runner.api import Component, ModelShape, Needs, Options, Predictions, hookimpl
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError, PluginError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

RECIPE = """
recipe: 1
name: older
dataset: {use: moons, n: 200, validation: 60}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {rows: 100, steps: 5, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
methods: {own: [hard, LOSS]}
arms: [plain]
train: {steps: 2, lr: 0.01}
evaluate: {metrics: [METRIC]}
"""


class ReadsLayers(nn.Module):
    """Names the layers that it reads itself, where nobody asks any more."""

    def __init__(self, options: Options, context: Any) -> None:
        super().__init__()

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs(teacher=(1,), student=(1,))

    def bind(self, binding: Any) -> None: ...

    def forward(self, student: Any, teacher: Any, batch: Any) -> Any:
        return (student.logits - teacher.logits).square().mean(-1)


class ReadsNoLayers(ReadsLayers):
    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs()


class Brier:
    """Says itself that a smaller value is the better one."""

    higher_is_better = False

    def __init__(self, options: Options, context: Any) -> None: ...

    def __call__(self, predictions: Predictions) -> float:
        return 0.5


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("loss", "reads_layers", Options, f"{__name__}:ReadsLayers", "an older loss")
        yield Component("loss", "reads_no_layers", Options, f"{__name__}:ReadsNoLayers", "an older loss")
        yield Component("metric", "undeclared", Options, f"{__name__}:Brier", "an older metric")
        yield Component("metric", "declared", Options, f"{__name__}:Brier", "a metric", higher_is_better=False)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, metric: str) -> running.RunResult:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "older.yaml"
    path.write_text(RECIPE.replace("LOSS", loss).replace("METRIC", metric))
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    return running.run(
        load_recipe(path, registry), registry, RunSettings(tmp_path / "run", jobs=1), Progress(quiet=True)
    )


def test_layers_that_only_the_loss_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"`reads_layers` .* move the method `needs` from the loss to its options"):
        run(tmp_path, monkeypatch, "reads_layers", "accuracy")


def test_a_direction_that_only_the_metric_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodrunError, match=r"`undeclared` .* give `higher_is_better=False` to the Component"):
        run(tmp_path, monkeypatch, "kd", "undeclared")


def test_what_cannot_be_misread_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch, "reads_no_layers", "declared")
    assert not result.record.metric("declared").higher_is_better
    assert result.report.rows[0].metrics == {"declared": 0.5}
