"""Which of the installed code is developed in a repository, and how another revision of that code is run instead.

An editable install leads Python into the working tree: its packages through a path, its entry points through metadata
written when it was installed. For another revision both are put in front of them on ``PYTHONPATH``: the worktree's
folders, and metadata with the entry points that the revision's ``pyproject.toml`` declares.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cod_runner.registry import ENTRY_POINT_GROUP

CORE = ("codrun", "cod_runner")
"""The distribution, and its package."""
INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Developed:
    """A distribution with code of codrun or of a plugin that lies in the repository."""

    name: str
    version: str
    roots: tuple[Path, ...]
    """Folders that hold its packages, relative to the repository's top."""
    project: Path | None
    """Its ``pyproject.toml``, likewise; None where there is none that says so."""


def developed_in(top: Path) -> list[Developed]:
    """Every distribution of codrun or of one of its plugins whose code is the working tree's."""
    found = []
    for name, (distribution, modules) in _distributions().items():
        folders = [folder for module in sorted(modules) for folder in _folders_of(module, top)]
        roots = tuple(dict.fromkeys(folder.relative_to(top) for folder in folders))
        if roots:
            found.append(Developed(name, distribution.version, roots, _project(top, roots, name)))
    return found


def installed_apart(top: Path, developed: list[Developed]) -> str | None:
    """The name of the distribution that this repository holds, where the one that is installed is a copy of it."""
    name = _name(_declared(top / "pyproject.toml"))
    return name if name in _distributions() and name not in {each.name for each in developed} else None


def environment_of(
    tree: Path, top: Path, developed: list[Developed], shadow: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    """The environment in which Python takes the code that is developed in ``top`` from the worktree ``tree``.

    Writes metadata into the folder ``shadow``.
    """
    paths = []
    for each in developed:
        declared = _declared(tree / each.project) if each.project is not None else None
        if declared is not None and "entry-points" not in declared.get("dynamic", ()):
            _write_metadata(shadow, each, declared)
        paths += [tree / root for root in each.roots]
    given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    moved = [_moved(Path(path), top, tree) for path in given]
    searched = [*([shadow] if shadow.is_dir() else []), *dict.fromkeys([*paths, *moved])]
    return {**environment, "PYTHONPATH": os.pathsep.join(map(str, searched))} if searched else dict(environment)


def _distributions() -> dict[str, tuple[metadata.Distribution, set[str]]]:
    """By normalised name: codrun and what brings plugins, each with its top-level modules that codrun loads."""
    found: dict[str, tuple[metadata.Distribution, set[str]]] = {}
    with suppress(metadata.PackageNotFoundError):  # where it is run from a path, not installed
        found[CORE[0]] = metadata.distribution(CORE[0]), {CORE[1]}
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.dist is not None:
            known = found.setdefault(_normalised(entry.dist.name), (entry.dist, set()))
            known[1].add(entry.module.partition(".")[0])
    return found


def _folders_of(module: str, top: Path) -> list[Path]:
    """The folders in the repository that hold a top-level module; links resolved."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    folders = [Path(place).resolve().parent for place in places]
    return [each for each in folders if each.is_relative_to(top) and not INSTALLED & set(each.parts)]


def _project(top: Path, roots: tuple[Path, ...], name: str) -> Path | None:
    """The nearest ``pyproject.toml`` at or above its packages that declares a distribution of this name."""
    for root in roots:
        for folder in (root, *root.parents):
            if _name(_declared(top / folder / "pyproject.toml")) == name:
                return folder / "pyproject.toml"
    return None


def _declared(path: Path) -> dict[str, Any] | None:
    """The table ``[project]`` of a ``pyproject.toml``; empty where there is no file, None where it says nothing."""
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return project if isinstance(project, dict) else None


def _name(declared: dict[str, Any] | None) -> str | None:
    name = (declared or {}).get("name")
    return _normalised(name) if isinstance(name, str) else None


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _write_metadata(shadow: Path, developed: Developed, declared: Mapping[str, Any]) -> None:
    """Metadata that Python finds before the installed one: it takes the first of each name on its path."""
    version = declared.get("version")
    folder = shadow / f"{developed.name.replace('-', '_')}-0.dist-info"
    folder.mkdir(parents=True)
    told = version if isinstance(version, str) else developed.version
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {developed.name}\nVersion: {told}\n", "utf-8")
    groups = declared.get("entry-points", {})
    lines = []
    for group, entries in groups.items() if isinstance(groups, dict) else ():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()), ""]
    (folder / "entry_points.txt").write_text("\n".join(lines), "utf-8")


def _moved(path: Path, top: Path, tree: Path) -> Path:
    """A path of the repository as the worktree has it; any other as it is, absolute."""
    real = path.resolve()
    return tree / real.relative_to(top) if real.is_relative_to(top) else path.absolute()
