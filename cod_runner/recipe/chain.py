"""A recipe's file and the files it extends, each split into its own keys and its profiles."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import Fault
from cod_runner.recipe.messages import nearest, quoted
from cod_runner.recipe.nodes import Mapping, Mark, Node, Source, is_null, text_of
from cod_runner.recipe.yaml import read_file

OWN_KEYS = ("extends", "profiles")
"""Keys that belong to a file and are not part of a merged recipe."""
MOST_PARENTS, MOST_PROFILES, LONGEST_PROFILE = 50, 100, 100
"""Every profile is checked by itself, as long as the recipe is; its name ends that of the run's folder."""


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
    try:
        current = _absolute(path.expanduser())
        is_fragment = current.name.startswith("_") and current.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        faults.append(Mark(Source(str(path), Path.cwd())).fault(f"cannot be read: {_reason(error)}"))
        return None
    if is_fragment:
        mark = Mark(source_of(current))
        faults.append(mark.fault("is a fragment (its name begins with `_`), valid only as a parent of a recipe"))
        return None
    while True:
        read = _read_recipe_file(current, faults)
        if read is None:
            return None
        visited.append(current.resolve())
        root, found = read
        files.insert(0, found)
        extends = root.get("extends")
        if extends is None or is_null(extends):
            return files
        if len(files) > MOST_PARENTS:
            faults.append(extends.mark.fault(f"`extends` leads through more than {MOST_PARENTS} files"))
            return None
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
    if len(node.entries) > MOST_PROFILES:
        faults.append(node.mark.fault(f"`profiles` has {len(node.entries):,} entries, more than {MOST_PROFILES}"))
        return {}
    profiles: dict[str, Mapping] = {}
    for name, entry in node.entries.items():
        if not _can_end_a_folder_s_name(name):
            faults.append(
                entry.key.fault(
                    f"the profile {quoted(name)} cannot be part of a run folder's name; use at most "
                    f"{LONGEST_PROFILE} characters, no `/`, no `\\`, no control characters"
                )
            )
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


def _can_end_a_folder_s_name(name: str) -> bool:
    return len(name) <= LONGEST_PROFILE and name.isprintable() and not {"/", "\\"} & set(name)


def _parent(extends: Node, visited: list[Path], faults: list[Fault]) -> Path | None:
    name = text_of(extends)
    if not name or extends.broken:
        if not extends.broken:
            faults.append(extends.mark.fault("`extends` must be the path of one recipe file"))
        return None
    try:
        path = _absolute(extends.mark.source.folder / Path(name).expanduser())
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        others = {each.name for each in path.parent.glob("*.y*ml")} - {each.name for each in visited}
        faults.append(extends.mark.fault(f"the parent {quoted(name)} does not exist{nearest(path.name, others)}"))
        return None
    except (OSError, RuntimeError, ValueError) as error:
        faults.append(extends.mark.fault(f"the parent {quoted(name)} cannot be read: {_reason(error)}"))
        return None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        faults.append(extends.mark.fault(f"the parent {quoted(name)} is {what}"))
        return None
    if path.resolve() in visited:
        circle = [each.name for each in visited[visited.index(path.resolve()) :]] + [path.name]
        faults.append(extends.mark.fault(f"`extends` goes in a circle: {' -> '.join(circle)}"))
        return None
    return path


def _reason(error: Exception) -> str:
    """Why a path leads nowhere: too long a name, no such user after `~`, a null character, a loop of links."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error).lower().rstrip(".")
