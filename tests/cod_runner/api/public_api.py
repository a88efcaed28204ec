"""The public signatures of ``cod_runner.api`` and of the hooks, a line each; run as a script, it writes them down.

python tests/cod_runner/api/public_api.py
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cod_runner import api
from cod_runner.hookspecs import Hooks

SNAPSHOT = Path(__file__).with_suffix(".txt")
PLAIN = (str, int, float, bool, type(None), tuple)
WRITTEN_BY_PLUGINS = (
    "Answerer CfeMeasure Chooser Classifier Dataset Executor Exporter Generator HiddenStateScorer LabelScorer Loss "
    "Metric Selector VocabularyCut"
).split()
"""Contracts that a plugin's classes keep: what is added to one of them is asked of every plugin."""


def public_api() -> list[str]:
    """Every public name with its fields, methods, parameters and defaults, sorted."""
    lines = [f"kind {kind}" for kind in api.KINDS]
    for name in sorted(api.__all__):
        if name not in ("API_VERSION", "KINDS"):
            lines += _described(name, getattr(api, name))
    for name in sorted(vars(Hooks)):
        if name.startswith("codrun_"):
            lines += _function(f"hook {name}", getattr(Hooks, name))
    return lines


def _described(name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing):
        return list(_class(name, thing))
    if inspect.isfunction(thing):
        return _function(name, thing)
    if isinstance(thing, re.Pattern):
        return [f"{name} = {thing.pattern}"]
    named = re.sub(r"\bcod_runner\.(\w+\.)+|<object object at .*?>", "", str(thing))
    return [f"{name}: {type(thing).__name__}" if " at 0x" in named else f"{name} = {named}"]


def _class(name: str, thing: type) -> Iterator[str]:
    parents = [each.__name__ for each in thing.__mro__[1:] if each.__module__.startswith("cod_runner")]
    yield f"class {name}({', '.join(parents)})" if parents else f"class {name}"
    defaults, places = _defaults(thing), _places(thing)
    for field, annotation in inspect.get_annotations(thing).items():
        if not field.startswith("_") and field != "model_config":
            yield f"{name}.{field}: {_spelt(annotation)}{defaults.get(field, '')}{places.get(field, '')}"
    for member, value in vars(thing).items():
        if member.startswith("_") and member not in ("__call__", "__enter__", "__exit__"):
            continue
        if isinstance(value, property):
            yield f"{name}.{member}: property{_returns(value.fget)}"
        elif isinstance(value, classmethod | staticmethod):
            yield from _function(f"{name}.{member}", value.__func__)
        elif inspect.isfunction(value):
            yield from _function(f"{name}.{member}", value)


def _defaults(thing: type) -> dict[str, str]:
    found: dict[str, str] = {}
    if dataclasses.is_dataclass(thing):
        for each in dataclasses.fields(thing):
            if each.default is not dataclasses.MISSING:
                found[each.name] = _default(each.default)
            elif each.default_factory is not dataclasses.MISSING:
                found[each.name] = " = ..."
    elif issubclass(thing, BaseModel):
        found = {
            name: _default(option.default) for name, option in thing.model_fields.items() if not option.is_required()
        }
    return found


def _places(thing: type) -> dict[str, str]:
    """Where a field stands among those that may be given without a name."""
    if not dataclasses.is_dataclass(thing):
        return {}
    positional = [each.name for each in dataclasses.fields(thing) if not each.kw_only]
    return {name: f"  [{number}]" for number, name in enumerate(positional, start=1)}


def _function(name: str, function: Any) -> list[str]:
    """Parameters are numbered, so that one that is put between others shows as a change."""
    lines = [f"{name}()"]
    signature = inspect.signature(function)
    for number, (parameter, each) in enumerate(signature.parameters.items()):
        if parameter in ("self", "cls"):
            continue
        star = {"KEYWORD_ONLY": "keyword", "VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(each.kind.name, str(number))
        default = "" if each.default is inspect.Parameter.empty else _default(each.default)
        lines.append(f"{name}({star} {parameter}: {_spelt(each.annotation)}{default})")
    return [*lines, *([f"{name}(){_returns(function)}"] if _returns(function) else [])]


def _returns(function: Any) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {_spelt(annotation)}"


def _spelt(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default(value: Any) -> str:
    return f" = {value!r}" if isinstance(value, PLAIN) else " = ..."


def written() -> tuple[tuple[int, int], list[str]]:
    """(version, lines) of the snapshot."""
    first, *lines = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    major, minor = first.removeprefix("plugin API ").split(".")
    return (int(major), int(minor)), lines


def changes(before: list[str], now: list[str]) -> tuple[list[str], list[str]]:
    """(what is changed, gone or newly asked of plugins; what is added and asks nothing)."""
    gone, new = [line for line in before if line not in now], [line for line in now if line not in before]
    functions = {line.split("(")[0] for line in before}
    asked = [line for line in new if _asks(line, functions)]
    return [*(f"- {line}" for line in gone), *(f"+ {line}" for line in asked)], [
        f"+ {line}" for line in new if line not in asked
    ]


def _asks(line: str, functions: set[str]) -> bool:
    """Whether a new line asks something of those who were content before."""
    owner = re.split(r"[.(: ]", line)[0]
    required_parameter = "(" in line and "()" not in line and " = " not in line and line.split("(")[0] in functions
    required_field = (
        "(" not in line
        and "." in line
        and " = " not in line
        and any(each.startswith(f"{owner}.") for each in functions)
    )
    return owner in WRITTEN_BY_PLUGINS or (required_parameter and not line.startswith("hook")) or required_field


if __name__ == "__main__":
    version = ".".join(map(str, api.API_VERSION))
    SNAPSHOT.write_text("\n".join([f"plugin API {version}", *public_api()]) + "\n", encoding="utf-8")
    print(f"wrote {SNAPSHOT}")
