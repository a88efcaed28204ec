"""A resolved recipe as YAML that reads back as the same recipe."""

from __future__ import annotations

import math
from typing import Any

import yaml

from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.yaml import resolve

_LINE_ENDS = frozenset("\r\x85\u2028\u2029")
"""Read back unchanged only from double quotes."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.2 would read back as something else, and writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if isinstance(resolve(value), str) and not _LINE_ENDS & set(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class _OneLine(yaml.SafeDumper):
    """Writes line ends in texts as escapes."""


def _one_line(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if "\n" in value or _LINE_ENDS & set(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_OneLine.add_representer(str, _one_line)


def value_yaml(value: Any) -> str:
    """Plain data as YAML on one line; the keys of mappings keep their order."""
    dumped: str = yaml.dump(
        value, Dumper=_OneLine, default_flow_style=True, allow_unicode=True, sort_keys=False, width=math.inf
    )
    return dumped.removesuffix("\n").removesuffix("\n...")


def recipe_yaml(recipe: Recipe) -> str:
    """Every key of the recipe, defaults included."""
    data = recipe.model_dump(mode="json")
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
