"""Code that a recipe names and would have called. A recipe may be a stranger's, so the user must have allowed it."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.errors import SettingError, standing_at
from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.nodes import Items, Mapping, Mark, Node, at
from cod_runner.registry import Registry


def refuse_named_code(loaded: LoadedRecipe, registry: Registry, permissions: Permissions) -> None:
    """Raise :class:`SettingError` at the first component that would call what the user has not allowed.

    Allowed is what ``--allow-callable`` names, with all that the recipe gives it, and what a flag of this command line
    names where the flags alone give it options too.
    """
    for place, kind, use in loaded.recipe.used():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            named = [each for each in options.callables() if each not in permissions.callables]
            if named and not _all_by_flags(at(loaded.tree, place)):
                option = [name for name in type(options).model_fields if getattr(options, name) == named[0]]
                raise SettingError(
                    f"`{named[0]}` is code, which would be called with the options beside it, and a recipe runs no "
                    "code of its own: look at both, and if you trust them, add "
                    f"`--allow-callable {named[0]}` to the command",
                    *option[:1],
                )


def _all_by_flags(component: Node | None) -> bool:
    """Whether flags say every option; the component's name may be the recipe's."""
    if not isinstance(component, Mapping):
        return False
    options = (entry.node for key, entry in component.entries.items() if key != "use")
    return all(mark.source.flag for node in options for mark in _of_values(node))


def _of_values(node: Node) -> Iterator[Mark]:
    """Where each single value stands, and each list or mapping without one."""
    below = list(node.items) if isinstance(node, Items) else []
    if isinstance(node, Mapping):
        below = [entry.node for entry in node.entries.values()]
    for each in below:
        yield from _of_values(each)
    if not below:
        yield node.mark
