"""A recipe's YAML as a tree whose every key and value has the file, line and column it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from cod_runner.errors import Fault
from cod_runner.plain_text import one_line

Place: TypeAlias = tuple[str | int, ...]
"""Where a node is in a recipe: keys and list indices from the root."""


@dataclass(frozen=True)
class Source:
    """A file, a ``--set`` or another flag."""

    shown: str
    """As faults show it."""
    folder: Path
    """What its relative paths are relative to; absolute."""
    flag: bool = False
    """Faults of a flag have no line."""


@dataclass(frozen=True)
class Mark:
    """A position; lines and columns count from 1."""

    source: Source
    line: int = 1
    column: int = 1

    def fault(self, sentence: str) -> Fault:
        """A fault at this position, on one line whatever the sentence quotes."""
        sentence = one_line(sentence)
        if self.source.flag:
            return Fault(self.source.shown, None, None, sentence)
        return Fault(self.source.shown, self.line, self.column, sentence)


@dataclass(frozen=True, eq=False)
class Node:
    """One value. ``broken``: a fault of it has been reported already, so no second one is."""

    mark: Mark
    broken: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, eq=False)
class Scalar(Node):
    """Text, number, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class Items(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """A key of a mapping and its value."""

    key: Mark
    node: Node


@dataclass(frozen=True, eq=False)
class Mapping(Node):
    """A mapping; keys are text, as written."""

    entries: dict[str, Entry]

    def get(self, key: str) -> Node | None:
        """The value under ``key``."""
        return self.entries[key].node if key in self.entries else None


def is_null(node: Node | None) -> bool:
    """Whether the value is null, or left blank."""
    return isinstance(node, Scalar) and node.value is None


def text_of(node: Node | None) -> str | None:
    """The node's value if it is text."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def child(node: Node | None, step: str | int) -> Node | None:
    """A mapping's value under a key, or a list's item at an index; None where there is none."""
    if isinstance(node, Mapping):
        return node.get(str(step))
    if isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def at(node: Node | None, place: Place) -> Node | None:
    """The node at ``place`` below ``node``; None where there is none."""
    for step in place:
        node = child(node, step)
    return node


def mark_at(node: Node, place: Place) -> Mark:
    """The position of the node at ``place``, or of the deepest mapping or list on the way to it that exists."""
    for step in place:
        below = child(node, step)
        if below is None and step == 0 and isinstance(node, Mapping):
            continue  # one item stands for the list of it
        if below is None:
            break
        node = below
    return node.mark


def plain(node: Node) -> Any:
    """The node as plain Python data."""
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def from_plain(value: Any, mark: Mark) -> Node:
    """Plain data as a tree whose every node has the position ``mark``."""
    if isinstance(value, dict):
        return Mapping(mark, {str(key): Entry(mark, from_plain(each, mark)) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return Items(mark, tuple(from_plain(each, mark) for each in value))
    return Scalar(mark, value)


def marks(node: Node) -> Iterator[Mark]:
    """The position of every key and value."""
    yield node.mark
    if isinstance(node, Mapping):
        for entry in node.entries.values():
            yield entry.key
            yield from marks(entry.node)
    elif isinstance(node, Items):
        for item in node.items:
            yield from marks(item)
