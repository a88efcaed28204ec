"""The types that a place inside a pydantic model can have: for its allowed keys, and for values of a wrong type."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, PlainValidator, WrapValidator

from cod_runner.recipe.nodes import Items, Mapping, Node, Place, Scalar

_NUMBERS = {int: "a whole number", float: "a number", bool: "true or false"}
_CONVERTERS = (BeforeValidator, PlainValidator, WrapValidator)


def types_at(annotation: Any, place: Place) -> Iterator[Any]:
    """Every type, unions taken apart, that the value at ``place`` below a value of type ``annotation`` may have.

    The input of a converting validator is ``Any``: only the validator knows its type.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        yield from [Any] if _converts(metadata) and not place else types_at(inner, place)
    elif origin in (Union, UnionType):
        for branch in get_args(annotation):
            yield from types_at(branch, place)
    elif not place:
        yield annotation
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = next((each for name, each in annotation.model_fields.items() if (each.alias or name) == place[0]), None)
        if field is not None:
            yield from [Any] if _converts(field.metadata) and not place[1:] else types_at(field.annotation, place[1:])
    elif origin is not None and get_args(annotation):
        inside = [each for each in get_args(annotation) if each is not Ellipsis]
        keyed = isinstance(origin, type) and len(inside) == 2 and isinstance(place[0], str)
        for each in inside[1:] if keyed else dict.fromkeys(inside):
            yield from types_at(each, place[1:])


def _converts(metadata: Collection[Any]) -> bool:
    return any(isinstance(each, _CONVERTERS) for each in metadata)


def models_at(annotation: Any, place: Place) -> Iterator[type[BaseModel]]:
    """Every model that the value at ``place`` may be."""
    for each in types_at(annotation, place):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each


def keys_at(annotation: Any, place: Place) -> Collection[str]:
    """The keys that a mapping at ``place`` may have, as far as a model says so."""
    return {field.alias or name for model in models_at(annotation, place) for name, field in model.model_fields.items()}


def coerced(annotation: Any, node: Node, place: Place = ()) -> Iterator[tuple[Place, Scalar, str]]:
    """Values that pydantic would convert (``"8"`` or ``true`` for a number, ``no`` for false).

    Yields the place below ``annotation``, the value, and what it must be.
    """
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield from coerced(annotation, entry.node, (*place, key))
    elif isinstance(node, Items):
        for index, item in enumerate(node.items):
            yield from coerced(annotation, item, (*place, index))
    elif isinstance(node, Scalar) and node.value is not None and not node.broken:
        allowed = {each for each in types_at(annotation, place) if each is not NoneType}
        if not allowed or not allowed <= set(_NUMBERS):
            return
        if isinstance(node.value, str | bool):
            fits = isinstance(node.value, bool) and bool in allowed
        else:
            fits = bool(allowed - {bool})
        if not fits:
            yield place, node, _NUMBERS[next(each for each in (float, int, bool) if each in allowed)]
