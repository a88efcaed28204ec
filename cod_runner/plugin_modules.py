"""What is wrong with a plugin's module before anything of it is called: its group, its version, its hooks."""

from __future__ import annotations

import difflib

import pluggy

from cod_runner.api.version import unmet_requirement
from cod_runner.errors import PluginError
from cod_runner.hookspecs import Hooks

ENTRY_POINT_GROUP = "codrun"
"""Of entry points, and the distribution that our own components come in."""
NEARLY = 0.8
"""How alike, from 0 to 1, the group of an entry point is that was meant to be ours: `codruns`, `codrum`."""


def is_nearly_ours(group: str) -> bool:
    """Whether a group's name is a mistake for :data:`ENTRY_POINT_GROUP`."""
    first = group.replace("-", "_").lower().partition(".")[0]
    near = difflib.SequenceMatcher(None, first, ENTRY_POINT_GROUP).ratio() >= NEARLY
    return group != ENTRY_POINT_GROUP and (near or first.startswith(("codrun", "cod_run")))


def refuse_another_version(loaded: object) -> None:
    """Raise :class:`PluginError` where a plugin asks for contracts that this codrun does not have."""
    asked = getattr(loaded, "codrun_api", None)
    refused = None if asked is None else unmet_requirement(asked)
    if refused is not None:
        raise PluginError(refused)


def refuse_unknown_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise :class:`PluginError` for a misspelt hook, which would never be called; ``check_pending`` finds it."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        marked = [name for name in dir(plugin) if hasattr(getattr(plugin, name), "codrun_impl")]
        wrong = [name for name in marked if not hasattr(Hooks, name)]
        known = [name for name in dir(Hooks) if name.startswith("codrun_")]
        near = difflib.get_close_matches(wrong[0], known, 1) if wrong else []
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise PluginError(f"unknown hook `{wrong[0] if wrong else '?'}`{hint}") from error


def refuse_unmarked_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise :class:`PluginError` for a hook without its mark, which would never be called either, or for none at
    all."""
    unmarked = [
        name
        for name in dir(Hooks)
        if name.startswith("codrun_")
        and callable(getattr(plugin, name, None))
        and not hasattr(getattr(plugin, name), "codrun_impl")
    ]
    if unmarked:
        raise PluginError(f"its `{unmarked[0]}` is not marked as a hook; write `@hookimpl` above it")
    if not manager.get_hookcallers(plugin):
        raise PluginError("it has no hook: it needs a `codrun_components` that is marked with `@hookimpl`")
