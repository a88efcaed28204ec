"""JSON Schema of a recipe, including every plugin's options, for completion and checks in editors."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from cod_runner.api import Component, Kind
from cod_runner.recipe.arms import SPELLED_OUT
from cod_runner.recipe.grammar import COMPONENTS, Recipe, Teacher, WeightedLoss
from cod_runner.recipe.sections import Use
from cod_runner.registry import Registry

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
WRITTEN_BY = "Written by codrun"
"""How the comment in every schema begins, by which codrun knows its own files."""
LONGEST_DEFAULT = 60
"""Characters of a default that a description tells."""
_REFERENCE = "#/$defs/"
_COMPONENTS = (Use.__name__, Teacher.__name__, WeightedLoss.__name__)
"""The models that stand for a component of some kind."""


def json_schema(registry: Registry) -> Schema:
    """The schema of a recipe file (draft 2020-12).

    A file that ``extends`` another, a fragment (one without a name), and a profile may omit anything and may blank keys
    with ``null``; so every definition is there twice: complete, and as ``partial.NAME`` with nothing required.
    """
    definitions: dict[str, Schema] = {}
    grammar = _hoisted(Recipe, "", definitions)
    for kind in dict.fromkeys(COMPONENTS.values()):
        definitions[kind] = _component_of(kind, registry, definitions)
    for pattern, kind in COMPONENTS.items():
        _refer(grammar, definitions, pattern, kind)
    for replaced in _COMPONENTS:
        definitions.pop(replaced, None)
    _allow_short_forms(grammar, definitions)
    definitions["Recipe"] = grammar
    definitions = {name: _with_defaults_told(schema) for name, schema in definitions.items()}
    definitions |= {f"partial.{name}": _partial(schema) for name, schema in definitions.items()}
    # A parent may define any arm, so any name may be listed.
    definitions["partial.ArmNames"] = {**definitions["ArmNames"], "items": {"type": "string"}}
    definitions["file"] = _file(definitions["Recipe"])
    definitions["partial.file"] = _file(definitions["partial.Recipe"])
    whole = {"allOf": [{"required": ["recipe", "name"]}, {"not": {"required": ["extends"]}}]}
    return {
        "$schema": DIALECT,
        "$comment": f"{WRITTEN_BY}, which writes it anew when plugins change; do not edit it",
        "title": "A codrun recipe",
        "type": "object",
        "if": whole,
        "then": {"$ref": f"{_REFERENCE}file"},
        "else": {"$ref": f"{_REFERENCE}partial.file"},
        "$defs": definitions,
    }


def _hoisted(model: type[BaseModel], prefix: str, definitions: dict[str, Schema]) -> Schema:
    """A model's schema; the models inside it become separate definitions, their names prefixed."""
    schema = model.model_json_schema(ref_template=f"{_REFERENCE}{prefix}{{model}}", schema_generator=_WithEveryDefault)
    definitions |= {f"{prefix}{name}": each for name, each in schema.pop("$defs", {}).items()}
    return schema


class _WithEveryDefault(GenerateJsonSchema):
    """Pydantic's, with the defaults that a function makes too."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory = schema.get("default_factory")
        made_alone = factory is not None and not schema.get("default_factory_takes_data")
        return factory() if made_alone else super().get_default_value(schema)  # type: ignore[call-arg, misc]


def _with_defaults_told(definition: Schema) -> Schema:
    """Each key's default in its description too, since editors that show the one do not show the other. What is absent
    or empty by default has a description that says what that means."""
    properties = definition.get("properties", {})
    told = {key: _with_default_told(option) for key, option in properties.items()}
    return {**definition, "properties": told} if properties else definition


def _with_default_told(option: Schema) -> Schema:
    default = option.get("default")
    text = json.dumps(default, ensure_ascii=False)
    if "description" not in option or default in (None, "", [], {}) or len(text) > LONGEST_DEFAULT:
        return option
    return {**option, "description": f"{option['description']} (default: {text})"}


def _component_of(kind: Kind, registry: Registry, definitions: dict[str, Schema]) -> Schema:
    """Any component of a kind: by name alone, where all its options have defaults, or as a mapping."""
    bare: dict[str, str] = {}
    mappings: list[Schema] = []
    for name in registry.names(kind):
        component = registry.find(kind, name)
        schema = _mapping_of(component, definitions)
        definitions[f"{kind}.{name}"] = schema
        mappings.append({"$ref": f"{_REFERENCE}{kind}.{name}"})
        if schema["required"] == ["use"]:
            bare[name] = component.summary
    by_name: list[Schema] = [{"enum": list(bare), "enumDescriptions": list(bare.values())}] if bare else []
    return {"description": f"a {kind}", "anyOf": [*by_name, *mappings]} if mappings else {"not": {}}


def _mapping_of(component: Component, definitions: dict[str, Schema]) -> Schema:
    try:
        options = _hoisted(component.options, f"{component.kind}.{component.name}.", definitions)
    except PydanticInvalidForJsonSchema:  # an option of a type that JSON Schema cannot express
        fields = component.options.model_fields
        required = [name for name, field in fields.items() if field.is_required()]
        options = {"properties": {name: {} for name in fields}, "required": required}
    core: Schema = {}
    if component.kind == "teacher":
        core = {key: definitions["Teacher"]["properties"][key] for key in ("finetune", "calibration", "processes")}
        by_name = definitions["Calibration"]["properties"]["by"]["anyOf"][0]
        core["calibration"] = _either(core["calibration"], by_name)
    elif component.kind == "loss":
        core = {"weight": definitions["WeightedLoss"]["properties"]["weight"]}
    return {
        "type": "object",
        "title": f"{component.kind} {component.name}",
        "description": component.summary,
        "properties": {
            "use": {"const": component.name, "description": component.summary},
            **core,
            **options.get("properties", {}),
        },
        "required": ["use", *options.get("required", [])],
        "additionalProperties": False,
    }


def _refer(grammar: Schema, definitions: dict[str, Schema], pattern: tuple[str, ...], kind: Kind) -> None:
    """Make the place that ``pattern`` names refer to the components of a kind."""
    node, holder, key = grammar, grammar, ""
    for step in pattern:
        node = _followed(node, definitions)
        if step in ("*", "#"):
            holder, key = node, "items" if "items" in node else "additionalProperties"
        else:
            holder, key = node["properties"], step
        node = holder[key]
    holder[key] = _of_kind(node, kind)


def _of_kind(schema: Any, kind: Kind) -> Any:
    """The schema with every reference to a component turned into one to the components of a kind."""
    if isinstance(schema, list):
        return [_of_kind(each, kind) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$ref", "").removeprefix(_REFERENCE) in _COMPONENTS:
        return {**schema, "$ref": f"{_REFERENCE}{kind}"}
    return {key: _of_kind(value, kind) for key, value in schema.items()}


def _allow_short_forms(grammar: Schema, definitions: dict[str, Schema]) -> None:
    """What an arm's validators take besides: one addition for a list of it, and names of arms for a mapping."""
    added = definitions["Arm"]["properties"]
    added["add"] = _either(added["add"], added["add"]["items"])
    definitions["ArmNames"] = {
        "type": "array", "items": {"enum": list(SPELLED_OUT)}, "minItems": 1, "uniqueItems": True,
    }  # fmt: skip
    grammar["properties"]["arms"] = _either(grammar["properties"]["arms"], {"$ref": f"{_REFERENCE}ArmNames"})


def _either(schema: Schema, other: Schema) -> Schema:
    said: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    return {"anyOf": [schema, other], **said}


def _followed(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The definition behind a reference, including a reference that may be null."""
    for each in (node, *node.get("anyOf", ())):
        if "$ref" in each:
            return definitions[each["$ref"].removeprefix(_REFERENCE)]
    return node


def _partial(schema: Any) -> Any:
    """The schema with nothing required, null allowed for every key, and references to partial definitions."""
    if isinstance(schema, list):
        return [_partial(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _or_null(_partial(each)) for name, each in value.items()}
        elif key == "additionalProperties" and isinstance(value, dict):
            result[key] = _or_null(_partial(value))
        elif key == "$ref":
            result[key] = value.replace(_REFERENCE, f"{_REFERENCE}partial.", 1)
        elif key not in ("required", "minProperties", "default", "examples", "const", "enum"):
            result[key] = _partial(value)
        elif key != "required":
            result[key] = value
    result.pop("minProperties", None)
    return result


def _or_null(schema: Schema) -> Schema:
    return _either(schema, {"type": "null"})


def _file(recipe: Schema) -> Schema:
    """A recipe with the keys that belong to its file."""
    own = {
        "extends": {"type": ["string", "null"], "description": "the recipe that this one changes; beside this file"},
        "profiles": {
            "type": ["object", "null"],
            "description": "named overlays, chosen with --profile",
            "additionalProperties": {"anyOf": [{"$ref": f"{_REFERENCE}partial.Recipe"}, {"type": "null"}]},
        },
    }
    return {**recipe, "properties": {**recipe["properties"], **own}}
