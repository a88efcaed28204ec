"""Where the run of a recipe lies: in pytest's cache, or where the user says."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cod_runner.registry import Registry

CACHE = "codrun"
"""The folder in pytest's cache."""


@dataclass(frozen=True)
class Place:
    """Of one recipe under one profile."""

    run: Path
    """The run's folder."""
    lock: Path
    """Held by the one process that runs the recipe; the others wait."""
    outcome: Path
    """What it found, for the others of the same session."""
    former: str | None = None
    """A pattern, beside ``run``, of the folders of runs by other code, which nothing reads any more; None: no such."""

    def outdated(self) -> list[Path]:
        """The folders that can go. Ask while the lock is held."""
        if self.former is None:
            return []
        return [path for path in self.run.parent.glob(self.former) if path.is_dir() and path != self.run]


def place_of(recipe: Path, profile: str | None, out: Path | None, config: pytest.Config, registry: Registry) -> Place:
    """The place of ``recipe``, below ``out`` or in the cache as it lies below pytest's root folder.

    In the cache it depends on the code too: finished cells are found again by the names, options and versions of
    components, never by code, and a test must not pass on what an earlier state of the code has trained. Raises
    :class:`CodrunError` without a cache.
    """
    parts = recipe.relative_to(config.rootpath) if recipe.is_relative_to(config.rootpath) else Path(*recipe.parts[1:])
    if out is not None:
        run = out / parts.parent / (f"{parts.stem}-{profile}" if profile else parts.stem)
        hidden = run.with_name(f".{run.name}")
        return Place(run, lock=hidden.with_name(f"{hidden.name}.lock"), outcome=hidden.with_name(f"{hidden.name}.json"))
    cache = config.cache if config.pluginmanager.hasplugin("cacheprovider") else None
    if cache is None:
        from cod_runner.errors import CodrunError

        raise CodrunError("pytest's cache is off, so name a folder for the runs: --codrun-out DIR")
    folder = cache.mkdir(CACHE) / parts / (f"profile-{profile}" if profile else "recipe")
    return Place(folder / f"run-{code_digest(registry)}", folder / "lock", folder / "outcome.json", former="run-*")


def code_digest(registry: Registry) -> str:
    """A short hash of the core's code, of every plugin's, and of the versions of the libraries that compute."""
    from cod_runner.machine import provenance

    digest = hashlib.sha256(repr(sorted(provenance()["versions"].items())).encode())
    packages = {"cod_runner", *(plugin.module.partition(".")[0] for plugin in registry.plugins)}
    for package in sorted(packages):
        for path in _sources(package):
            digest.update(f"{package} {path.name} ".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(package: str) -> Iterator[Path]:
    """The Python files of an installed package or module, in a fixed order."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        yield from sorted(Path(folder).rglob("*.py"))
    if spec.submodule_search_locations is None and spec.origin is not None:
        yield Path(spec.origin)
