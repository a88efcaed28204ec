"""The type of an option in words that the author of a recipe understands, and its default as a recipe writes it."""

from __future__ import annotations

import enum
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from cod_runner.api import PathOption
from cod_runner.recipe.writing import value_yaml

_IS_A_FILE = get_args(PathOption)[1]
"""The validator that tells a :data:`PathOption` from any other text."""

_SCALARS: tuple[tuple[type, str, str], ...] = (
    (bool, "true or false", "(true or false)"),  # before int, whose subclass it is
    (int, "whole number", "whole numbers"),
    (float, "number", "numbers"),
    (Decimal, "number", "numbers"),
    (str, "text", "texts"),
    (PurePath, "file", "files"),
)


@dataclass(frozen=True)
class Described:
    """One option of a component, or one key of a mapping that an option takes."""

    name: str
    type: str
    default: str
    meaning: str


def described(
    options: type[BaseModel], prefix: str = "", above: tuple[type[BaseModel], ...] = ()
) -> Iterator[Described]:
    """Every option in order; the keys of a mapping with fixed ones follow it, as ``lora.rank``."""
    for name, field in options.model_fields.items():
        name = field.alias or name
        yield Described(f"{prefix}{name}", _of_field(field).one, _default(field), field.description or "")
        for path, inner in _models(field.annotation, f"{prefix}{name}."):
            if inner not in (options, *above):
                yield from described(inner, path, (options, *above))


def type_in_words(annotation: Any) -> str:
    """For example ``list of whole numbers``, ``mapping of split to file`` or ``one of a, b, or null``."""
    return _words(annotation).one


@dataclass(frozen=True)
class _Words:
    """A type in words. ``one`` value of it, ``many`` as in a list; ``inside`` something longer it may need brackets,
    and what is not ``plain`` holds a comma or an "or" of its own."""

    one: str
    many: str
    plain: bool = True

    @property
    def inside(self) -> str:
        return self.one if self.plain else f"({self.one})"


def _of_field(field: FieldInfo) -> _Words:
    return _words(field.annotation, [*field.metadata, field])


def _words(annotation: Any, metadata: Iterable[Any] = (), above: tuple[Any, ...] = ()) -> _Words:
    for each in metadata:
        if isinstance(each, FieldInfo) and each.title:
            return _Words(each.title, f"{each.title}s")
        if each == _IS_A_FILE:
            return _Words("file", "files")
    if hasattr(annotation, "__value__"):  # `type Name = ...`, which may speak of itself
        if annotation in above or annotation.__name__ == "JsonValue":
            return _Words("anything", "anything")
        return _words(annotation.__value__, (), (*above, annotation))
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0], parts[1:], above)
    if origin is Literal:
        return _one_of(parts)
    if origin in (Union, types.UnionType):
        return _either([_words(part, (), above) for part in parts])
    if origin is None:
        return _of_class(annotation)
    return _of_collection(origin, [part if part is ... else _words(part, (), above) for part in parts])


def _of_class(annotation: Any) -> _Words:
    if annotation in (Any, object):
        return _Words("anything", "anything")
    if annotation in (None, type(None)):
        return _Words("null", "null")
    if not isinstance(annotation, type):
        return _Words("value", "values")
    if issubclass(annotation, enum.Enum):
        return _one_of([member.value for member in annotation])
    if issubclass(annotation, BaseModel):
        keys = f"{{{', '.join(field.alias or name for name, field in annotation.model_fields.items())}}}"
        return _Words(keys, keys)
    for known, one, many in _SCALARS:
        if issubclass(annotation, known):
            return _Words(one, many, plain=known is not bool)
    if issubclass(annotation, Mapping):
        return _Words("mapping", "mappings")
    if issubclass(annotation, Collection):
        return _Words("list", "lists")
    return _Words(annotation.__name__, annotation.__name__)


def _of_collection(origin: Any, parts: Sequence[Any]) -> _Words:
    """A list, a tuple or a mapping; ``parts`` are the words of its members, and ``...`` after a tuple's only one."""
    if not isinstance(origin, type):
        return _Words("value", "values")
    if issubclass(origin, Mapping) and len(parts) == 2:
        key, value = parts
        return _Words(words := f"mapping of {key.one} to {value.inside}", f"({words})")
    if issubclass(origin, tuple) and ... not in parts:
        words = f"[{', '.join(part.one for part in parts)}]"
        return _Words(words, words)
    if issubclass(origin, Iterable):
        words = f"list of {parts[0].many}"
        return _Words(words, f"({words})")
    return _Words(origin.__name__, origin.__name__)


def _one_of(values: Sequence[Any]) -> _Words:
    listed = ", ".join(in_yaml(value) for value in values)
    return _Words(listed, listed) if len(values) == 1 else _Words(f"one of {listed}", f"(one of {listed})", plain=False)


def _either(parts: Sequence[_Words]) -> _Words:
    *first, last = (part.one for part in parts)
    short = len(parts) == 2 and parts[0].plain and " of " not in parts[0].one
    words = f"{', '.join(first)}{'' if short else ','} or {last}"
    return _Words(words, f"({words})", plain=False)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if getattr(field, "default_factory_takes_validated_data", False):  # pydantic 2.10 and later
        return "by the other options"
    return in_yaml(field.get_default(call_default_factory=True))


def in_yaml(value: Any) -> str:
    """The value on one line, as a recipe would say it."""
    return value_yaml(to_jsonable_python(value, fallback=str, inf_nan_mode="constants"))


def _models(annotation: Any, path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each model in the annotation with the path of its keys: in a mapping it is reached by ``NAME.``, in a list by
    ``0.``"""
    origin, parts = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
    elif origin in (Annotated, Union, types.UnionType):
        for part in parts[:1] if origin is Annotated else parts:
            yield from _models(part, path)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _models(parts[1], f"{path}{_words(parts[0]).one.upper().replace(' ', '_')}.")
    elif isinstance(origin, type) and issubclass(origin, Collection):
        for part in parts:
            yield from _models(part, f"{path}0.")
