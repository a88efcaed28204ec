"""The types of options in words, and their defaults as YAML: what `codrun plugins NAME` shows of a component."""

from __future__ import annotations

import enum
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, JsonValue, PositiveInt
from rich.console import Console

from cod_runner.api import Component, Options, PathOption, hookimpl
from cod_runner.cli.listing import show_plugins
from cod_runner.cli.option_types import described, in_yaml, type_in_words
from cod_runner.registry import Registry

Name = Annotated[str, BeforeValidator(str), Field(title="name")]
Split = Annotated[str, Field(title="split")]
AtLeastOne = Annotated[int, Field(ge=1)]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(Options):
    of: Split = Field(description="which split")
    rows: int = 3


class Nested(Options):
    one: Inner | None = Field(None, description="an inner mapping")
    by_name: dict[Split, Inner] = Field(default_factory=dict)
    listed: list[Inner] = Field(default_factory=list)


class Recursive(Options):
    below: Recursive | None = None


TYPES: list[tuple[Any, str]] = [
    (str, "text"),
    (int, "whole number"),
    (float, "number"),
    (bool, "true or false"),
    (PathOption, "file"),
    (Path, "file"),
    (Any, "anything"),
    (JsonValue, "anything"),
    (PositiveInt, "whole number"),
    (Colour, "one of red, blue"),
    (Literal["a", "b", "c"], "one of a, b, c"),
    (Literal[1, True, None], "one of 1, true, null"),
    (Literal["uniform"], "uniform"),
    (str | None, "text or null"),
    (bool | None, "true or false, or null"),
    (Literal["left", "right"] | None, "one of left, right, or null"),
    (int | str, "whole number or text"),
    (AtLeastOne | list[AtLeastOne] | None, "whole number, list of whole numbers, or null"),
    (list[str], "list of texts"),
    (tuple[Name, ...], "list of names"),
    (Annotated[Sequence[Name], BeforeValidator(list)], "list of names"),
    (list[PathOption], "list of files"),
    (list[str | None], "list of (text or null)"),
    (list[dict[str, int]], "list of (mapping of text to whole number)"),
    (list[tuple[int, int]], "list of [whole number, whole number]"),
    (Literal["uniform"] | list[tuple[int, int]], "uniform or list of [whole number, whole number]"),
    (
        tuple[tuple[float, float], tuple[float, float]] | None,
        "[[number, number], [number, number]] or null",
    ),
    (dict[Split, PathOption], "mapping of split to file"),
    (Mapping[str, Any], "mapping of text to anything"),
    (dict[str, list[Name]], "mapping of text to list of names"),
    (dict[str, Name | None], "mapping of text to (name or null)"),
    (dict[str, str] | None, "mapping of text to text, or null"),
    (str | dict[str, int | str] | None, "text, mapping of text to (whole number or text), or null"),
    (dict[Split, Inner], "mapping of split to {of, rows}"),
    (dict, "mapping"),
    (list, "list"),
]


@pytest.mark.parametrize(("annotation", "words"), TYPES, ids=[words for _, words in TYPES])
def test_types_in_words(annotation: Any, words: str) -> None:
    assert type_in_words(annotation) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ((), "[]"),
        ({}, "{}"),
        (None, "null"),
        (True, "true"),
        ("generic", "generic"),
        ("", "''"),
        (",", "','"),
        ("null", "'null'"),
        (15, "15"),
        (2e-05, "2.0e-05"),
        (0.55, "0.55"),
        (("negative", "positive"), "[negative, positive]"),
        ({"validation": Inner(of="test")}, "{validation: {of: test, rows: 3}}"),
        ({f"split{number}": "a" * 30 for number in range(9)}, None),
    ],
)
def test_defaults_are_yaml_on_one_line(value: Any, text: str | None) -> None:
    assert "\n" not in in_yaml(value)
    assert text is None or in_yaml(value) == text


def test_the_keys_of_an_option_follow_it() -> None:
    assert [(each.name, each.type, each.default, each.meaning) for each in described(Nested)] == [
        ("one", "{of, rows} or null", "null", "an inner mapping"),
        ("one.of", "split", "required", "which split"),
        ("one.rows", "whole number", "3", ""),
        ("by_name", "mapping of split to {of, rows}", "{}", ""),
        ("by_name.SPLIT.of", "split", "required", "which split"),
        ("by_name.SPLIT.rows", "whole number", "3", ""),
        ("listed", "list of {of, rows}", "[]", ""),
        ("listed.0.of", "split", "required", "which split"),
        ("listed.0.rows", "whole number", "3", ""),
    ]
    assert [each.name for each in described(Recursive)] == ["below"]


def shown(registry: Registry, name: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_plugins(console, registry, name)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


INSTALLED = Registry.discover()
COMPONENTS = sorted({component.name for plugin in INSTALLED.plugins for component in plugin.components})


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_component_is_listed_in_pythons_words(name: str) -> None:
    listing = shown(INSTALLED, name)
    for word in ("Annotated", "function", "Pydantic", " at 0x", "typing", "None", "Undefined"):
        assert word not in listing


def test_what_a_recipe_s_author_sees_of_a_data_set() -> None:
    lines = [" ".join(line.split()) for line in shown(INSTALLED, "csv").splitlines()]
    assert "path file required the file; relative to the recipe" in lines
    assert "splits mapping of split to file {} further files by split name; `path` is the split `train`" in lines
    assert "labels list of names [] label names in the order of their class ids; absent: guessed" in lines


def test_a_metric_says_what_reports_call_it() -> None:
    assert "metric kl: KL divergence from the teacher (lower is better)" in shown(INSTALLED, "kl")
    assert "metric f1: Macro F1\n" in shown(INSTALLED, "f1")


def test_what_a_plugin_says_is_no_markup() -> None:
    class MarkedOptions(Options):
        """An option's words."""

        mark: str = Field("[red]", description="[bold]one[/bold] of [x, y]")

    @hookimpl
    def codrun_components() -> list[Component]:
        return [Component("loss", "mine", MarkedOptions, "a:b", "between [/] and [green]")]

    registry = Registry()
    registry.register("marked", "marked", lambda: type("P", (), {"codrun_components": staticmethod(codrun_components)}))
    registry.register("[broken]", "broken", lambda: __import__("no_such_module_[x]"), "[dist]")
    listing = shown(registry) + shown(registry, "mine")
    for told in ("between [/] and [green]", "'[red]'", "[bold]one[/bold] of [x, y]", "[broken]", "[dist]", "_[x]'"):
        assert told in listing
