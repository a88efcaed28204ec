"""JSON Schema of a recipe, every plugin's options included: what editors complete and check with."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

from pydantic import BaseModel

from cod_runner.api import KINDS, Component, Kind
from cod_runner.recipe.grammar import COMPONENTS, Recipe, Teacher, WeightedLoss
from cod_runner.registry import Registry

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry) -> Schema:
    """The schema of a recipe file (draft 2020-12).

    A file that ``extends`` another, and a profile, may leave out anything and may blank keys with ``null``, so
    every definition is there twice: complete, and under ``partial.`` with nothing required.
    """
    definitions: dict[str, Schema] = {}
    grammar = _definitions_of(Recipe, "", definitions)
    definitions["Recipe"] = grammar
    for kind in KINDS:
        components = [registry.find(kind, name) for name in registry.names(kind)]
        definitions[kind] = _any_of(kind, components, definitions)
    for pattern, kind in COMPONENTS.items():
        _refer(definitions, grammar, pattern, kind)
    for unused in ("Use", "Teacher", "WeightedLoss"):
        definitions.pop(unused, None)
    definitions |= {f"partial.{name}": _partial(schema) for name, schema in definitions.items()}
    return {
        "$schema": DIALECT,
        "title": "A codrun recipe",
        "type": "object",
        "properties": {
            **grammar["properties"],
            "extends": {"type": "string", "description": "the recipe that this one changes; relative to this file"},
            "profiles": {
                "type": ["object", "null"],
                "description": "named overlays, chosen with --profile",
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/partial.Recipe"}, {"type": "null"}]},
            },
        },
        "additionalProperties": False,
        "$defs": definitions,
    }
