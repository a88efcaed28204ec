"""What plugins declare goes into the record of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cod_runner.api import Component, Options
from cod_runner.errors import PluginError, SettingError
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.declared import methods_without_teacher, metrics_of
from cod_runner.runs.records import FIELDS, MetricRecord


class LabelOptions(Options):
    """A third-party loss that uses the teacher only if ``soft``."""

    soft: bool = False

    def uses_teacher(self) -> bool:
        return self.soft


class TeacherOptions(Options):
    pass


@pytest.fixture
def registry(registry_of: Callable[..., Registry]) -> Registry:
    return registry_of(
        Component("metric", "brier", Options, "m:Brier", "", title="Brier score", higher_is_better=False),
        Component("metric", "plainly", Options, "m:Plainly", ""),
        Component("metric", "steps", Options, "m:Steps", ""),
        Component("loss", "label", LabelOptions, "m:Label", ""),
        Component("loss", "kd", TeacherOptions, "m:KD", ""),
    )


def test_metrics_are_recorded_as_their_components_declare_them(
    recipe_with: Callable[..., Recipe], registry: Registry
) -> None:
    assert metrics_of(recipe_with(evaluate={"metrics": ["plainly", "brier"]}), registry) == [
        MetricRecord(name="plainly", title="plainly", higher_is_better=True),
        MetricRecord(name="brier", title="Brier score", higher_is_better=False),
    ]
    with pytest.raises(PluginError, match="no metric is named `hausdorff`"):
        metrics_of(recipe_with(evaluate={"metrics": ["hausdorff"]}), registry)


@pytest.mark.parametrize("name", FIELDS)
def test_a_metric_with_the_name_of_a_field_is_refused_at_its_place_in_the_recipe(
    recipe_with: Callable[..., Recipe], registry: Registry, name: str
) -> None:
    with pytest.raises(SettingError, match=f"the metric `{name}`") as caught:
        metrics_of(recipe_with(evaluate={"metrics": ["brier", name]}), registry)
    assert caught.value.place == ("evaluate", "metrics", 1)


@pytest.mark.parametrize(
    ("losses", "without"),
    [
        (["label"], True),
        ([{"use": "label", "soft": True}], False),
        (["label", "kd"], False),
        (["label", {"use": "kd", "weight": 0}], True),  # computed for the log only
        ([{"use": "kd", "weight": 0}], True),
    ],
)
def test_the_floor_is_every_method_that_does_not_use_the_teacher(
    recipe_with: Callable[..., Recipe], registry: Registry, losses: list[Any], without: bool
) -> None:
    recipe = recipe_with(methods={"mine": losses, "kd": ["kd"]})
    assert methods_without_teacher(recipe, registry) == (["mine"] if without else [])
