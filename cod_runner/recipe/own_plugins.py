"""The Python files that a recipe names under ``plugins:``. A recipe may be a stranger's, so they run only where the
user has said so, on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cod_runner.errors import CodrunError, Fault
from cod_runner.permissions import Permissions
from cod_runner.recipe.messages import quoted
from cod_runner.recipe.nodes import Items, Mapping, Node, text_of
from cod_runner.registry import Registry

KEY = "plugins"


def load_own_plugins(trees: Iterable[Mapping], registry: Registry, permissions: Permissions) -> list[Fault]:
    """Register every file that one of the trees (the recipe, its profiles) names; a fault for each that is refused, or
    that is broken."""
    faults: list[Fault] = []
    done: set[Node] = set()
    for tree in trees:
        listed = tree.get(KEY)
        for node in listed.items if isinstance(listed, Items) else ():
            if text_of(node) and not node.broken and node not in done:  # the grammar reports what is wrong
                done.add(node)
                sentence = _loaded(node, registry, permissions)
                if sentence is not None:
                    faults.append(node.mark.fault(sentence))
    return faults


def plugin_paths(tree: Mapping) -> list[str]:
    """The files of a checked recipe, absolute."""
    listed = tree.get(KEY)
    return [str(_path_of(node)) for node in listed.items] if isinstance(listed, Items) else []


def _path_of(node: Node) -> Path:
    return Path(os.path.normpath(node.mark.source.folder / str(text_of(node))))


def _loaded(node: Node, registry: Registry, permissions: Permissions) -> str | None:
    """Why the file is not loaded; None where it is."""
    path, name = _path_of(node), quoted(str(text_of(node)))
    if not permissions.local_plugins:
        return (
            f"{name} is Python code, and a recipe runs no code of its own: read it, and if you trust it, add "
            "`--allow-local-plugins` to the command"
        )
    if path.suffix != ".py":
        return f"{name} must be a Python file, `NAME.py`"
    source = node.mark.source
    if not source.flag and not permissions.allow_file(path, source.folder):
        return f"{name} is outside the recipe's folder; move it beside the recipe, or name its folder in --allow-folder"
    if not path.is_file():
        return f"{name}: there is no such file"
    try:
        plugin = registry.register_file(path)
    except CodrunError as error:
        return str(error)
    return None if plugin.fault is None else f"{name} cannot be loaded: {plugin.fault}"
