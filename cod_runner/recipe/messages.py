"""pydantic's errors as sentences, one per mistake, at the node where the mistake is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import ErrorDetails

from cod_runner.errors import MOST_FAULTS, Fault
from cod_runner.plain_text import shortened
from cod_runner.recipe.grammar import kind_at
from cod_runner.recipe.nodes import Items, Mapping, Mark, Node, Place, child, is_null
from cod_runner.recipe.overlays import dotted

LONGEST_VALUE = 60
LONGEST_SENTENCE = 400

_WANTED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number", "float_type": "a number", "float_parsing": "a number",
    "string_type": "text", "bool_type": "true or false", "bool_parsing": "true or false", "list_type": "a list",
    "tuple_type": "a list", "set_type": "a list", "dict_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping", "path_type": "text", "none_required": "null",
}  # fmt: skip
"""What the value must be, by the type of pydantic's error."""

_LIMITS = {
    "greater_than": "must be greater than {gt}", "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}", "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}", "finite_number": "must be a finite number",
}  # fmt: skip


@dataclass(frozen=True)
class Located:
    """An error and where it is: the place of the deepest node that it is about."""

    type: str
    place: Place
    node: Node
    key: Mark | None
    """Position of the key whose value is ``node``."""
    of_key: bool
    """Whether the key itself is wrong, not its value."""
    missing: str | int | None
    """The key or index that is missing, in an error of that type."""
    union: tuple[tuple[Place, str], ...]
    """Where a union was tried, and as which branch; outermost first."""
    value: Any
    context: dict[str, Any]
    message: str


def faults_of(
    errors: Iterable[ErrorDetails], root: Node, place: Place, names_at: Callable[[Place], Collection[str]]
) -> list[Fault]:
    """One fault per mistake. ``root`` is the node at ``place``; ``names_at`` gives the keys allowed in a mapping."""
    located = [each for each in (_locate(error, root, place) for error in errors) if each is not None]
    collapsed = _collapse(located)
    misspelt = {
        (*error.place[:-1], near[0])
        for error in collapsed[:MOST_FAULTS]
        if error.type == "extra_forbidden"
        and (near := difflib.get_close_matches(str(error.place[-1]), names_at(error.place[:-1]), 1))
    }
    faults = []
    for index, error in enumerate(collapsed):
        if error.missing is not None and (*error.place, error.missing) in misspelt:
            continue  # it is there under a misspelt name, which has a fault of its own
        known = names_at(error.place[:-1]) if index < MOST_FAULTS else ()  # looking for near names takes time
        mark, sentence = _sentence(error, known)
        faults.append(mark.fault(shortened(sentence, LONGEST_SENTENCE)))
    return faults


def _locate(error: ErrorDetails, root: Node, place: Place) -> Located | None:
    """Walk from the root along an error's location; a step that leads nowhere is the tag of a union's branch."""
    node, key = root, None
    union: list[tuple[Place, str]] = []
    missing: str | int | None = None
    of_key = False
    steps = error["loc"]
    for index, step in enumerate(steps):
        if node.broken:
            return None
        below = child(node, step)
        last = index == len(steps) - 1
        if error["type"] == "missing" and last and (below is None or is_null(below)):
            missing = step
        elif below is not None:
            key = node.entries[str(step)].key if isinstance(node, Mapping) else None
            node, place = below, (*place, step)
        elif step == "[key]":
            of_key = True
        elif step == 0 and not isinstance(node, Items):
            continue  # one item stands for the list of it
        else:
            union.append((place, str(step)))
    if node.broken:
        return None
    context = error.get("ctx", {})
    return Located(
        error["type"], place, node, key, of_key, missing, tuple(union), error["input"], context, error["msg"]
    )


def _collapse(errors: Sequence[Located]) -> list[Located]:
    """Reduce a union's branches to the one that was meant, or to one error that names what each of them accepts."""
    collapsed: list[Located] = []
    unions: dict[Place, dict[str, list[Located]]] = {}
    for error in errors:
        if error.union:
            (place, tag), *deeper = error.union
            unions.setdefault(place, {}).setdefault(tag, []).append(replace(error, union=tuple(deeper)))
        else:
            collapsed.append(error)
    for place, branches in unions.items():
        fitting = [branch for branch in branches.values() if not any(_is_wrong_type(each, place) for each in branch)]
        if fitting:
            collapsed.extend(_collapse(min(fitting, key=len)))
            continue
        wrong = [each for branch in branches.values() for each in _collapse(branch) if _is_wrong_type(each, place)]
        wanted = list(dict.fromkeys(_wanted(each) for each in wrong))
        collapsed.append(replace(wrong[0], type="union", union=(), context={"wanted": _either(wanted)}))
    return collapsed


def _is_wrong_type(error: Located, place: Place) -> bool:
    known = error.type in _WANTED or error.type in ("literal_error", "enum", "union")
    return error.place == place and error.missing is None and known


def _wanted(error: Located) -> str:
    if error.type in ("literal_error", "enum"):
        return _either([f"`{each}`" for each in _expected(error)])
    if error.type == "union":
        return str(error.context["wanted"])
    if error.type == "model_type" and kind_at(error.place) is not None:
        return f"a {kind_at(error.place)}, by name or as a mapping with `use`"
    return _WANTED[error.type]


def _expected(error: Located) -> list[str]:
    """The values of a literal; pydantic gives them as ``'a', 'b' or 'c'``."""
    text = str(error.context.get("expected", "")).replace(" or ", ", ")
    return [each.strip().strip("'") for each in text.split(", ")]


def _either(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} or {nouns[-1]}"


def _sentence(error: Located, known: Collection[str]) -> tuple[Mark, str]:
    """The position to point at, and the sentence."""
    here, name = error.node.mark, f"`{dotted(error.place)}`" if error.place else "the recipe"
    if error.type == "missing":
        return _missing(error)
    if error.type == "extra_forbidden":
        return error.key or here, f"unknown key {name}{nearest(str(error.place[-1]), known)}"
    if error.type in _WANTED or error.type in ("literal_error", "enum", "union"):
        sentence = f"{name} must be {_wanted(error)}, not {quoted(error.value)}"
        options = _expected(error) if error.type == "literal_error" else []
        near = difflib.get_close_matches(str(error.value), options, 1)
        return here, f"{sentence}; did you mean `{near[0]}`?" if near else sentence
    if error.type in _LIMITS:
        limit = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.context.items()}
        return here, f"{name} {_LIMITS[error.type].format(**limit)}, not {quoted(error.value)}"
    if error.type in ("too_short", "string_too_short"):
        wanted = error.context["min_length"]
        if not error.value:
            return here, f"{name} is empty"
        return here, f"{name} needs at least {wanted} {'characters' if error.type.startswith('s') else 'entries'}"
    if error.type in ("too_long", "string_too_long"):
        wanted = error.context["max_length"]
        return here, f"{name} has more than {wanted} {'characters' if error.type.startswith('s') else 'entries'}"
    if error.type in ("value_error", "assertion_error"):
        if error.of_key and error.key is not None:
            return error.key, f"the key {quoted(error.value)} {error.context['error']}"
        return here, f"{name}: {error.context['error']}"
    if error.type == "string_pattern_mismatch":
        return here, f"{name} is {quoted(error.value)}, which does not match {error.context['pattern']}"
    return here, f"{name}: {error.message[:1].lower()}{error.message[1:]}"


def _missing(error: Located) -> tuple[Mark, str]:
    full = (*error.place, error.missing) if error.missing is not None else error.place
    if isinstance(error.missing, int):
        return error.node.mark, f"`{dotted(error.place)}` has {error.missing} entries, too few"
    if isinstance(error.node, Mapping) and is_null(error.node.get(str(error.missing))):
        return error.node.entries[str(error.missing)].key, f"`{dotted(full)}` is empty"
    return error.node.mark, f"`{dotted(full)}` is missing"


def nearest(name: str, known: Collection[str]) -> str:
    """``; did you mean ...?``, or else the known names, or "" if there are none."""
    near = difflib.get_close_matches(name, sorted(known), 1)
    if near:
        return f"; did you mean `{near[0]}`?"
    listed = sorted(known)
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"; there are: {', '.join(listed[:12])}{more}" if listed else ""


def quoted(value: Any) -> str:
    """A value as it is quoted in a sentence, shortened if it is long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{shortened(str(value), LONGEST_VALUE)}`"
