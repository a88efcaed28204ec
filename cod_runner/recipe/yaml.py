"""YAML as a recipe may use it: read without running anything, scalars as in YAML 1.2, every node with its position."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from cod_runner.errors import Fault
from cod_runner.recipe.nodes import Entry, Items, Mapping, Mark, Node, Scalar, Source

LARGEST_FILE = 1_000_000
"""Bytes."""
MOST_NODES = 50_000
"""With aliases expanded."""
DEEPEST = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = re.compile(r"(?:null|Null|NULL|~|)")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_DIGITS = 300


class _Unreadable(Exception):
    """Carries the one fault after which nothing more can be read of a file."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def read_file(path: Path, source: Source, faults: list[Fault]) -> Mapping | None:
    """Read one recipe file into a mapping; None, and a fault, where it is not one."""
    start = Mark(source)
    try:
        try:
            state = path.stat()
        except ValueError as error:
            raise _Unreadable(start.fault(f"cannot be read: {error}")) from error  # a null character in the name
        if not stat.S_ISREG(state.st_mode):
            what = "a folder, not a recipe file" if stat.S_ISDIR(state.st_mode) else "not a regular file"
            raise _Unreadable(start.fault(f"is {what}"))
        if state.st_size > LARGEST_FILE:
            raise _Unreadable(start.fault(f"is larger than {LARGEST_FILE:,} bytes, too large for a recipe"))
        text = _decoded(path.read_bytes(), source)
        root = read_text(text, source, faults)
    except _Unreadable as error:
        faults.append(error.fault)
        return None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        faults.append(start.fault("there is no such file" if missing else f"cannot be read: {error.strerror}"))
        return None
    if root is None:
        faults.append(start.fault("is empty; a recipe begins with `recipe: 1`"))
    elif not isinstance(root, Mapping):
        what = "a list" if isinstance(root, Items) else "a single value"
        if not root.broken:
            faults.append(root.mark.fault(f"a recipe is a mapping (`key: value` lines), but this is {what}"))
    else:
        return root
    return None


def read_value(text: str, source: Source, faults: list[Fault]) -> Node | None:
    """Read the value of a flag; None, and a fault, where it is not YAML."""
    try:
        return read_text(text, source, faults) or Scalar(Mark(source), None)
    except _Unreadable as error:
        faults.append(error.fault)
        return None


def _decoded(raw: bytes, source: Source) -> str:
    start = Mark(source)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unreadable(start.fault("is UTF-16 text; save it as UTF-8"))
    if b"\0" in raw:
        raise _Unreadable(start.fault("is a binary file, not YAML"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", errors="replace")
        mark = _mark_after(before, source)
        raise _Unreadable(mark.fault(f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")) from error


def _mark_after(before: str, source: Source) -> Mark:
    return Mark(source, before.count("\n") + 1, len(before) - before.rfind("\n"))


def read_text(text: str, source: Source, faults: list[Fault]) -> Node | None:
    """The tree of one YAML document; None if it is empty."""
    wrong = _FORBIDDEN.search(text)
    if wrong:
        mark = _mark_after(text[: wrong.start()], source)
        raise _Unreadable(mark.fault(f"the control character U+{ord(wrong.group()):04X} is not allowed in YAML"))
    try:
        return _composed(text, source, faults)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(source, at.line + 1, at.column + 1) if at else Mark(source)
        raise _Unreadable(mark.fault(f"is not YAML: {_problem(error, text)}")) from error
    except yaml.YAMLError as error:
        raise _Unreadable(Mark(source).fault(f"is not YAML: {error}")) from error


def _composed(text: str, source: Source, faults: list[Fault]) -> Node | None:
    known = len(faults)
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER), source, faults).document()
    except yaml.MarkedYAMLError as error:
        if "nesting depth" not in str(error.problem):
            raise
    # libyaml counts brackets ahead of the events and gives up before the composer can report where it is too deep
    del faults[known:]
    return _Composer(yaml.parse(text, Loader=yaml.SafeLoader), source, faults).document()


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = " ".join(str(each) for each in (error.problem, error.context) if each)
    lines = text.splitlines()
    at = error.problem_mark
    if at is not None and at.line < len(lines) and "\t" in lines[at.line][: at.column + 1]:
        return f"{problem}; indent with spaces, not with a tab"
    if "mapping values are not allowed" in problem:
        return f"{problem}; text that contains `: ` needs quotes"
    return problem


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar in YAML 1.2: ``no``, ``12:30`` and dates are text, ``010`` is ten."""
    if _NULL.fullmatch(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= _MOST_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NOT_FINITE.fullmatch(text):
            return float(text.replace(".", "").lower())
    return text


class _Composer:
    """Builds the tree from the parser's events, which come one by one, so that everything is counted before it
    expands or recurses."""

    def __init__(self, events: Iterator[Event], source: Source, faults: list[Fault]) -> None:
        self._events = events
        self._source = source
        self._faults = faults
        self._anchors: dict[str, tuple[Node | None, int]] = {}

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent) and root is not None:
                raise _Unreadable(self._mark(event).fault("a second document begins here; a recipe is one"))
            if isinstance(event, NodeEvent):
                root, _ = self._node(event, 1)
        # A file of comments alone has no event; `---` alone has one empty scalar.
        return None if isinstance(root, Scalar) and root.value is None else root

    def _mark(self, event: Event) -> Mark:
        start = event.start_mark
        assert start is not None
        return Mark(self._source, start.line + 1, start.column + 1)

    def _say(self, mark: Mark, sentence: str) -> None:
        self._faults.append(mark.fault(sentence))

    def _node(self, event: Event, depth: int) -> tuple[Node, int]:
        """The node, and how many nodes it is with its aliases expanded."""
        mark = self._mark(event)
        if depth > DEEPEST:
            raise _Unreadable(mark.fault(f"is nested more than {DEEPEST} levels deep"))
        if isinstance(event, AliasEvent):
            return self._alias(event, mark)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = (None, 0)
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._say(mark, f"the tag `{shown[:60]}` is refused: a recipe is plain YAML and runs no code")
        node: Node
        size = 1
        if isinstance(event, MappingStartEvent):
            node, size = self._mapping(mark, depth, tag is not None)
        elif isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                item, count = self._node(inner, depth + 1)
                items.append(item)
                size = self._counted(size + count, item.mark)
            node = Items(mark, tuple(items), broken=tag is not None)
        else:
            node = self._scalar(event, mark, tag is not None)
        if anchor:
            self._anchors[anchor] = (node, size)
        return node, size

    def _alias(self, event: AliasEvent, mark: Mark) -> tuple[Node, int]:
        if event.anchor not in self._anchors:
            raise _Unreadable(mark.fault(f"the alias `*{event.anchor}` has no anchor `&{event.anchor}` before it"))
        node, size = self._anchors[event.anchor]
        if node is None:
            raise _Unreadable(mark.fault(f"the alias `*{event.anchor}` is inside the value that it refers to"))
        return node, self._counted(size, mark)

    def _counted(self, size: int, mark: Mark) -> int:
        if size > MOST_NODES:
            raise _Unreadable(mark.fault(f"more than {MOST_NODES:,} values with the aliases expanded"))
        return size

    def _scalar(self, event: Event, mark: Mark, broken: bool) -> Scalar:
        assert isinstance(event, ScalarEvent)
        value = event.value if event.style else resolve(event.value)
        if isinstance(value, float) and not math.isfinite(value) and not broken:
            self._say(mark, f"`{event.value[:60]}` is not a finite number")
            broken = True
        return Scalar(mark, value, broken=broken)

    def _mapping(self, mark: Mark, depth: int, broken: bool) -> tuple[Mapping, int]:
        entries: dict[str, Entry] = {}
        size = 1
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, _ = self._node(event, depth + 1)
            value, count = self._node(next(self._events), depth + 1)
            size = self._counted(size + 1 + count, value.mark)
            name = self._key(event, key)
            if name is None:
                continue
            if name in entries:
                first = entries[name].key
                self._say(key.mark, f"the key `{name[:60]}` is repeated; the first is on line {first.line}")
            entries[name] = Entry(key.mark, value)
        return Mapping(mark, entries, broken=broken), size

    def _key(self, event: Event, key: Node) -> str | None:
        if not isinstance(event, ScalarEvent):
            self._say(key.mark, "a key must be text, not a list, mapping or alias")
        elif event.value == "<<" and not event.style:
            self._say(key.mark, "the merge key `<<` is not part of YAML 1.2; write the keys out, or use `extends`")
        elif not event.value:
            self._say(key.mark, "a key is empty")
        elif not key.broken:
            return event.value
        return None
