"""A recipe's file and the files it extends, each taken apart into what it says itself and its profiles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import Fault
from cod_runner.recipe.messages import nearest, quoted
from cod_runner.recipe.nodes import Mapping, Mark, Node, Source, is_null, text_of
from cod_runner.recipe.yaml import read_file

OWN_KEYS = ("extends", "profiles")
"""What belongs to the file and is no part of a merged recipe."""


@dataclass(frozen=True)
class Layer:
    """One file."""

    source: Source
    body: Mapping
    profiles: dict[str, Mapping]


def read_chain(path: Path, faults: list[Fault]) -> list[Layer] | None:
    """The file's layers, the farthest parent first; None where a file cannot be read at all."""
    layers: list[Layer] = []
    visited: list[Path] = []
    current = _absolute(path.expanduser())
    if current.name.startswith("_") and current.is_file():
        mark = Mark(source_of(current))
        faults.append(mark.fault("is a fragment (its name begins with `_`), valid only as a parent of a recipe"))
        return None
    while True:
        visited.append(current.resolve())
        layer = _read_layer(current, faults)
        if layer is None:
            return None
        root, found = layer
        layers.insert(0, found)
        extends = root.get("extends")
        if extends is None or is_null(extends):
            return layers
        parent = _parent(extends, visited, faults)
        if parent is None:
            return None
        current = parent


def _absolute(path: Path) -> Path:
    """Without `..`, links left as they are, so that faults show the path as it was given."""
    return Path(os.path.normpath(path.absolute()))


def source_of(path: Path) -> Source:
    """A file, shown relative to the working folder where it lies below it."""
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return Source(str(shown), path.parent)


def _read_layer(path: Path, faults: list[Fault]) -> tuple[Mapping, Layer] | None:
    source = source_of(path)
    root = read_file(path, source, faults)
    if root is None:
        return None
    body = Mapping(root.mark, {key: entry for key, entry in root.entries.items() if key not in OWN_KEYS})
    return root, Layer(source, body, _profiles(root.get("profiles"), faults))


def _profiles(node: Node | None, faults: list[Fault]) -> dict[str, Mapping]:
    if node is None or is_null(node) or node.broken:
        return {}
    if not isinstance(node, Mapping):
        faults.append(node.mark.fault("`profiles` wants a mapping of names to what each changes"))
        return {}
    profiles: dict[str, Mapping] = {}
    for name, entry in node.entries.items():
        if is_null(entry.node):
            profiles[name] = Mapping(entry.key, {})
        elif isinstance(entry.node, Mapping):
            for key in OWN_KEYS:
                if key in entry.node.entries:
                    faults.append(entry.node.entries[key].key.fault(f"a profile cannot hold `{key}`"))
            own = {key: each for key, each in entry.node.entries.items() if key not in OWN_KEYS}
            profiles[name] = Mapping(entry.node.mark, own)
        elif not entry.node.broken:
            faults.append(entry.node.mark.fault(f"the profile {quoted(name)} wants a mapping of what it changes"))
    return profiles


def _parent(extends: Node, visited: list[Path], faults: list[Fault]) -> Path | None:
    name = text_of(extends)
    if not name or extends.broken:
        if not extends.broken:
            faults.append(extends.mark.fault("`extends` wants the path of one recipe file"))
        return None
    path = _absolute(extends.mark.source.folder / Path(name).expanduser())
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        others = [each.name for each in path.parent.glob("*.y*ml") if each.resolve() not in visited]
        hint = nearest(path.name, others) if not path.is_dir() else ""
        faults.append(extends.mark.fault(f"the parent {quoted(name)} {what}{hint}"))
        return None
    if path.resolve() in visited:
        circle = [each.name for each in visited[visited.index(path.resolve()) :]] + [path.name]
        faults.append(extends.mark.fault(f"`extends` goes in a circle: {' -> '.join(circle)}"))
        return None
    return path
