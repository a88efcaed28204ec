"""Code that a recipe names and would have called. A recipe may be a stranger's, so the user must have allowed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cod_runner.errors import SettingError, standing_at
from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.nodes import Items, Mapping, Mark, Node, Place, at
from cod_runner.registry import Registry


@dataclass(frozen=True)
class NamedCode:
    """One ``module:callable`` that a component would have called."""

    place: Place
    """Of the component in the recipe."""
    name: str
    option: tuple[str, ...]
    """That names it; empty where none is just that."""
    allowed: bool

    def __str__(self) -> str:
        refused = "" if self.allowed else f": refused until the user allows it ({self.cure})"
        return f"`{self.name}` would be called ({'.'.join(map(str, self.place))}){refused}"

    @property
    def cure(self) -> str:
        """How the user allows it."""
        return f"`--allow-callable {self.name}`"

    def refusal(self) -> SettingError:
        """The error of a run that would call it all the same."""
        return SettingError(
            f"`{self.name}` is code, which would be called with the options beside it, and a recipe runs no "
            f"code of its own: look at both, and if you trust them, add {self.cure} to the command",
            *self.option,
        )


def named_code(loaded: LoadedRecipe, registry: Registry, permissions: Permissions) -> list[NamedCode]:
    """All code that the recipe's components would have called; none of it is imported.

    Allowed is what ``--allow-callable`` names, with all that the recipe gives it, and what a flag of this command line
    names where the flags alone give it options too.
    """
    found = []
    for place, kind, use in loaded.recipe.used():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            named = list(options.callables())
            fields = type(options).model_fields
            option = {each: tuple(name for name in fields if getattr(options, name) == each)[:1] for each in named}
        by_flags = bool(named) and _all_by_flags(at(loaded.tree, place))
        found += [NamedCode(place, each, option[each], by_flags or each in permissions.callables) for each in named]
    return found


def refuse_named_code(loaded: LoadedRecipe, registry: Registry, permissions: Permissions) -> None:
    """Raise :class:`SettingError` at the first component that would call what the user has not allowed."""
    for each in named_code(loaded, registry, permissions):
        if not each.allowed:
            with standing_at(*each.place):
                raise each.refusal()


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
