"""Whether the ``module:attribute`` by which a component is built leads anywhere, without importing the module."""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


def unresolved(path: str) -> str | None:
    """Why ``module:attribute`` leads nowhere, as the end of a sentence on it; None where it does not.

    Looks for files and reads the module's source; imports nothing. What it cannot tell (a compiled module, a name
    that ``import *`` may bring) counts as there.
    """
    module, colon, attribute = path.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        return "which must be written `module:attribute`"
    if module in sys.modules:
        there = sys.modules[module]
        return None if hasattr(there, attribute) else _lacking(module, attribute, vars(there))
    try:
        spec = _spec(module)
    except _Missing as missing:
        return f"and there is no module `{missing.name}`{_hint(missing.name, missing.near)}"
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except SyntaxError as error:
        return f"and {spec.origin}:{error.lineno} cannot be read: {error.msg}"
    except (OSError, ValueError):
        return None
    names = set(_defined(tree.body))
    return None if names & {attribute, "*", "__getattr__"} else _lacking(module, attribute, names)


def source_of(module: str) -> Path | None:
    """The file that a module is read from; None where there is no module, or none that was written in Python."""
    try:
        spec = _spec(module)
    except _Missing:
        return None
    return Path(spec.origin) if spec is not None and (spec.origin or "").endswith(".py") else None  # type: ignore[arg-type]


class _Missing(Exception):
    """There is no module of this name."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.name, self.near = name, near


def _spec(module: str) -> ModuleSpec | None:
    """Where a module is, found level by level, since :func:`importlib.util.find_spec` imports all packages above."""
    root, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:  # a module in memory that nothing was loaded from
        return None
    if spec is None:
        raise _Missing(root)
    name = root
    for part in below:
        places = spec.submodule_search_locations
        found = None if places is None else importlib.machinery.PathFinder.find_spec(f"{name}.{part}", places)
        if found is None:
            raise _Missing(f"{name}.{part}", [f"{name}.{each}" for each in _modules_in(places or ())])
        spec, name = found, f"{name}.{part}"
    return spec


def _modules_in(folders: Iterable[str]) -> list[str]:
    return [path.stem for folder in folders for path in Path(folder).glob("*.py") if path.stem.isidentifier()]


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The names that a module's own statements bind, those below `if`, `try` and `with` included."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        else:
            yield from (
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
            for field in ("body", "orelse", "finalbody"):
                yield from _defined(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _defined(handler.body)


def _lacking(module: str, attribute: str, names: Iterable[str]) -> str:
    return f"and the module `{module}` defines no `{attribute}`{_hint(attribute, names)}"


def _hint(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [each for each in names if not each.startswith("__")], 1)
    return f"; did you mean `{near[0]}`?" if near else ""
