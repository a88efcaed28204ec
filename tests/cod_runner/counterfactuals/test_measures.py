"""`--measure NAME=VALUE`: which option a bare value is for, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cod_runner.api import BuildContext, Component, Options, hookimpl
from cod_runner.counterfactuals.measures import build_measures
from cod_runner.errors import PluginError, RecipeError
from cod_runner.registry import Registry


class OneRequired(Options):
    rows: int = 3
    checkpoint: str


class NoneRequired(Options):
    rows: int = 3


class TwoRequired(Options):
    old: str
    new: str


class Measure:
    title = "a measure"

    def __init__(self, options: Options, context: BuildContext) -> None:
        self.options = options

    def __call__(self, pairs: object) -> list[float | None]:
        return []


class Measures:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        for name, options in (("one", OneRequired), ("no", NoneRequired), ("two", TwoRequired)):
            yield Component("cfe_measure", name, options, f"{__name__}:Measure", "a measure")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.register("measures", "measures", Measures)
    assert registry.warnings == []
    return registry


def test_a_bare_value_is_the_one_required_option(registry: Registry) -> None:
    named = ["one=a/b", " one = {checkpoint: x, rows: 4}", "no", "two={old: a, new: b}"]
    made = build_measures(named, registry, BuildContext())
    assert [each.options for each in made if isinstance(each, Measure)] == [
        OneRequired(checkpoint="a/b"),
        OneRequired(checkpoint="x", rows=4),
        NoneRequired(),
        TwoRequired(old="a", new="b"),
    ]


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("one", "--measure one: `checkpoint`: Field required; its options are rows, checkpoint"),
        ("no=3", "--measure no=3: a bare value needs a measure that requires one option, and this one requires none; "
                 "write `NAME={option: value}`; its options are rows"),
        ("two=x", "--measure two=x: a bare value needs a measure that requires one option, and this one requires 2; "
                  "write `NAME={option: value}`; its options are old, new"),
        ("one={checkpoint: [", "--measure one={checkpoint: [: what follows `=` is not YAML"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(named: str, sentence: str, registry: Registry) -> None:
    with pytest.raises(RecipeError) as caught:
        build_measures([named], registry, BuildContext())
    assert str(caught.value) == sentence


def test_an_unknown_measure_is_named(registry: Registry) -> None:
    with pytest.raises(PluginError, match="no cfe_measure is named `onee`; did you mean `one`"):
        build_measures(["onee=x"], registry, BuildContext())
