"""Overlays: a parent under a recipe, a profile over it, ``--set`` over that. Positions survive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from cod_runner.recipe.arms import SPELLED_OUT
from cod_runner.recipe.grammar import kind_at, words_at
from cod_runner.recipe.nodes import Entry, Items, Mapping, Node, Place, from_plain, is_null, text_of

LONGEST_INDEX, LONGEST_NAME = 9, 60
"""Digits of an index; characters of a name that a sentence quotes."""

Alternatives: TypeAlias = Callable[[Place, Mapping], Sequence[Sequence[str]]]
"""The groups of keys of the mapping at a place that are alternatives to each other."""


def merge(base: Node | None, over: Node, place: Place, alternatives: Alternatives) -> Node:
    """``over`` on top of ``base``.

    Mappings merge, anything else replaces, but a list of arms chooses among those that are defined; a mapping that
    names another ``use`` replaces the whole component; ``null`` removes a key that ``base`` has; setting one of several
    alternatives clears the others.
    """
    if base is None:
        return over
    if kind_at(place) is not None:
        base, over = as_component(base, place), as_component(over, place)
    if place == ("arms",):
        if isinstance(over, Items):
            return arms_chosen(over, base) if isinstance(base, Mapping) else over
        base = arms_chosen(base)
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    named, renamed = text_of(base.get("use")), text_of(over.get("use"))
    if renamed is not None and named is not None and renamed != named:
        return over
    given = {
        key: Entry(entry.key, merge(base.get(key), entry.node, (*place, key), alternatives))
        for key, entry in over.entries.items()
    }
    return _with_entries(base, given, place, alternatives)


def set_at(base: Node | None, path: Sequence[str], value: Node, place: Place, alternatives: Alternatives) -> Node:
    """``value`` on top of the node at ``path`` below ``base``; a list item is addressed by its index.

    Raises :class:`LookupError` with a sentence where the path leads into a single value or past the end of a list.
    """
    if not path:
        return merge(base, value, place, alternatives)
    head, *rest = path
    if base is not None and kind_at(place) is not None:
        base = as_component(base, place)
    if place == ("arms",) and base is not None and not path[0].isdecimal():
        base = arms_chosen(base)
    if isinstance(base, Items):
        return _set_item(base, head, rest, value, place, alternatives)
    if base is None or is_null(base):
        base = Mapping(value.mark, {})
    if not isinstance(base, Mapping):
        raise LookupError(f"`{dotted(place)}` is a single value and has no `{head[:LONGEST_NAME]}`")
    if not rest:
        return merge(base, Mapping(value.mark, {head: Entry(value.mark, value)}), place, alternatives)
    below = set_at(base.get(head), rest, value, (*place, head), alternatives)
    key = base.entries[head].key if head in base.entries else value.mark
    return _with_entries(base, {head: Entry(key, below)}, place, alternatives)


def _set_item(
    base: Items, head: str, rest: Sequence[str], value: Node, place: Place, alternatives: Alternatives
) -> Node:
    if not head.isdecimal() or len(head) > LONGEST_INDEX or int(head) >= len(base.items):
        there = f"0 to {len(base.items) - 1}" if base.items else "none: it is empty"
        raise LookupError(f"`{dotted(place)}` is a list and has no item `{head[:LONGEST_NAME]}`; its items are {there}")
    index = int(head)
    items = list(base.items)
    items[index] = set_at(items[index], rest, value, (*place, index), alternatives)
    if is_null(items[index]) and not rest:
        del items[index]
    return Items(base.mark, tuple(items))


def _with_entries(base: Mapping, given: dict[str, Entry], place: Place, alternatives: Alternatives) -> Mapping:
    entries = dict(base.entries)
    for key, entry in given.items():
        if is_null(entry.node) and key in entries:
            del entries[key]
        else:
            entries[key] = entry
    result = Mapping(base.mark, entries, broken=base.broken)
    for group in alternatives(place, result):
        if any(key in given and not is_null(given[key].node) for key in group):
            for other in set(group) - set(given):
                entries.pop(other, None)
    return result


def as_component(node: Node, place: Place = ()) -> Node:
    """A component's bare name as the mapping that it is short for; a word of the grammar at ``place`` stays one."""
    name = text_of(node)
    if name is not None and not node.broken and name not in words_at(place):
        return Mapping(node.mark, {"use": Entry(node.mark, node)})
    return node


def arms_chosen(node: Node, defined: Mapping | None = None) -> Node:
    """A list of arms as a mapping: each is what ``defined`` says of it, or what its name alone stands for.

    A list with anything else in it stays as it is, and the grammar reports it.
    """
    if not isinstance(node, Items):
        return node
    entries: dict[str, Entry] = {}
    for item in node.items:
        name = text_of(item)
        if name is None or name in entries:
            return node
        if defined is not None and name in defined.entries:
            entries[name] = defined.entries[name]
        elif name in SPELLED_OUT:
            entries[name] = Entry(item.mark, from_plain(SPELLED_OUT[name], item.mark))
        else:
            return node
    return Mapping(node.mark, entries)


def dotted(place: Place) -> str:
    """A place as ``--set`` writes it."""
    return ".".join(map(str, place))
