"""Overlays: a parent under a recipe, a profile over it, ``--set`` over that. Positions survive."""

from __future__ import annotations

from typing import Any

from cod_runner.recipe.nodes import Entry, Node

ALTERNATIVES = ({"steps", "epochs"}, {"model", "layers_from_teacher"})
"""Setting one of these clears the other."""

COMPONENT_KEYS = {"dataset", "teacher", "student", "executor"}
"""Keys whose value may be a component's bare name."""


def merge(base: Node | None, top: Node, key: str = "") -> Node:
    """``top`` over ``base``: mappings merge, anything else replaces, ``null`` removes, another ``use`` replaces."""
    if base is None or not isinstance(top.value, dict):
        return _without_nulls(top)
    if isinstance(base.value, str) and key in COMPONENT_KEYS:
        base = Node({"use": Entry(base.place, base)}, base.place)
    if not isinstance(base.value, dict) or _uses_another(base, top):
        return _without_nulls(top)
    entries: dict[str, Entry] = dict(base.value)
    for name, entry in top.value.items():
        if entry.node.value is None:
            entries.pop(name, None)
            continue
        for group in ALTERNATIVES:
            if name in group:
                for other in group - {name}:
                    entries.pop(other, None)
        below = entries.get(name)
        entries[name] = Entry(entry.key_place, merge(below.node if below else None, entry.node, name))
    return Node(entries, base.place)


def set_at(base: Node, path: list[str], value: Node) -> Node:
    """``value`` over what stands at a dotted path; a list item is addressed by its index.

    Raises :class:`LookupError` with a sentence where the path leads nowhere.
    """
    head, rest = path[0], path[1:]
    if isinstance(base.value, list):
        if not head.isdigit() or int(head) >= len(base.value):
            raise LookupError(f"`{head}` addresses no item of a list of {len(base.value)}; items count from 0")
        items = list(base.value)
        place = int(head)
        items[place] = set_at(_opened(items[place]), rest, value) if rest else merge(items[place], value)
        return Node(items, base.place)
    if not isinstance(base.value, dict):
        raise LookupError(f"`{head}` would be a key of `{str(base.value)[:60]}`, which is no mapping")
    if not rest:
        return merge(base, Node({head: Entry(value.place, value)}, value.place))
    below = base.child(head) or Node({}, value.place)
    if head in COMPONENT_KEYS:
        below = _opened(below)
    entries: dict[str, Entry] = dict(base.value)
    key_place = entries[head].key_place if head in entries else value.place
    entries[head] = Entry(key_place, set_at(below, rest, value))
    return Node(entries, base.place)


def _opened(node: Node) -> Node:
    """A component's bare name as the mapping that it stands for."""
    if isinstance(node.value, str):
        return Node({"use": Entry(node.place, node)}, node.place)
    return node


def _uses_another(base: Node, top: Node) -> bool:
    ours, theirs = base.child("use"), top.child("use")
    return ours is not None and theirs is not None and ours.value != theirs.value


def _without_nulls(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    entries: dict[Any, Entry] = {
        key: Entry(entry.key_place, _without_nulls(entry.node))
        for key, entry in node.value.items()
        if entry.node.value is not None
    }
    return Node(entries, node.place)
