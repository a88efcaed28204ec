"""A recipe's file and the files it extends, each split into its own keys and its profiles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import Fault
from cod_runner.recipe.messages import nearest, quoted
from cod_runner.recipe.nodes import Mapping, Mark, Node, Source, is_null, text_of
from cod_runner.recipe.yaml import read_file

OWN_KEYS = ("extends", "profiles")
"""Keys that belong to a file and are not part of a merged recipe."""


@dataclass(frozen=True)
class RecipeFile:
    """One file of the chain."""

    source: Source
    body: Mapping
    profiles: dict[str, Mapping]


def read_chain(path: Path, faults: list[Fault]) -> list[RecipeFile] | None:
    """The file after its parents, the farthest first; None where one of them cannot be read at all."""
    files: list[RecipeFile] = []
    visited: list[Path] = []
    current = _absolute(path.expanduser())
    if current.name.startswith("_") and current.is_file():
        mark = Mark(source_of(current))
        faults.append(mark.fault("is a fragment (its name begins with `_`), valid only as a parent of a recipe"))
        return None
    while True:
        visited.append(current.resolve())
        read = _read_recipe_file(current, faults)
        if read is None:
            return None
        root, found = read
        files.insert(0, found)
        extends = root.get("extends")
        if extends is None or is_null(extends):
            return files
        parent = _parent(extends, visited, faults)
        if parent is None:
            return None
        current = parent


def _absolute(path: Path) -> Path:
    """Without `..`, symbolic links not resolved, so that faults show the path as it was given."""
    return Path(os.path.normpath(path.absolute()))


def source_of(path: Path) -> Source:
    """A file, shown relative to the working folder where it is inside it."""
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return Source(str(shown), path.parent)


def _read_recipe_file(path: Path, faults: list[Fault]) -> tuple[Mapping, RecipeFile] | None:
    """The file's whole mapping, and the file split."""
    source = source_of(path)
    root = read_file(path, source, faults)
    if root is None:
        return None
    body = Mapping(root.mark, {key: entry for key, entry in root.entries.items() if key not in OWN_KEYS})
    return root, RecipeFile(source, body, _profiles(root.get("profiles"), faults))


def _profiles(node: Node | None, faults: list[Fault]) -> dict[str, Mapping]:
    if node is None or is_null(node) or node.broken:
        return {}
    if not isinstance(node, Mapping):
        faults.append(node.mark.fault("`profiles` must be a mapping of names to what each changes"))
        return {}
    profiles: dict[str, Mapping] = {}
    for name, entry in node.entries.items():
        if is_null(entry.node):
            profiles[name] = Mapping(entry.key, {})
        elif isinstance(entry.node, Mapping):
            for key in OWN_KEYS:
                if key in entry.node.entries:
                    faults.append(entry.node.entries[key].key.fault(f"a profile cannot contain `{key}`"))
            own = {key: each for key, each in entry.node.entries.items() if key not in OWN_KEYS}
            profiles[name] = Mapping(entry.node.mark, own)
        elif not entry.node.broken:
            faults.append(entry.node.mark.fault(f"the profile {quoted(name)} must be a mapping of what it changes"))
    return profiles


def _parent(extends: Node, visited: list[Path], faults: list[Fault]) -> Path | None:
    name = text_of(extends)
    if not name or extends.broken:
        if not extends.broken:
            faults.append(extends.mark.fault("`extends` must be the path of one recipe file"))
        return None
    path = _absolute(extends.mark.source.folder / Path(name).expanduser())
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        others = [each.name for each in path.parent.glob("*.y*ml") if each.resolve() not in visited]
        hint = nearest(path.name, others) if not path.is_dir() else ""
        faults.append(extends.mark.fault(f"the parent {quoted(name)} {what}{hint}"))
        return None
    if path.resolve() in visited:
        circle = [each.name for each in visited[visited.index(path.resolve()) :]] + [path.name]
        faults.append(extends.mark.fault(f"`extends` goes in a circle: {' -> '.join(circle)}"))
        return None
    return path
