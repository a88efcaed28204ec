"""A digest of the code that a component is built by, to notice that it has changed where its version has not."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Collection, Iterator

from cod_runner.build_paths import source_of

MOST_MODULES = 200
"""Of one component; a package that has more is followed no further."""


def code_digest(module: str, apart: Collection[str] = ()) -> str | None:
    """A digest of a module and of all that it imports of its own package, without those ``apart``; None where there is
    no source to read. Imports nothing.

    Comments, docstrings and layout are left out. It begins with Python's version, since another one reads the same
    source into another tree: compare digests of one version alone.
    """
    found: dict[str, str] = {}
    waiting = [module]
    while waiting and len(found) < MOST_MODULES:
        name = waiting.pop()
        source = None if name in found else source_of(name)
        if source is None:
            continue
        try:
            tree = ast.parse(source.read_bytes())
        except (OSError, ValueError, SyntaxError):
            continue
        package = name if source.name == "__init__.py" else name.rpartition(".")[0]
        imported = set(_imported(tree, package))
        found[name] = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()
        root = module.partition(".")[0]
        waiting += [each for each in imported if each.partition(".")[0] == root and each not in apart]
    if module not in found:
        return None
    whole = hashlib.sha256("".join(f"{name} {found[name]}\n" for name in sorted(found)).encode())
    return f"{sys.version_info.major}.{sys.version_info.minor}:{whole.hexdigest()[:32]}"


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules that are imported anywhere in it; of ``from a import b`` both `a` and `a.b`, which may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            said = body[0].value
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                del body[0]
    return tree
