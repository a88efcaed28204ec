"""Where a run would send texts, keys and requests, and whether the user allows it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from cod_runner.api import Destination
from cod_runner.errors import SettingError, standing_at
from cod_runner.permissions import Permissions, settings_shown
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.nodes import Place, mark_at
from cod_runner.registry import Registry


@dataclass(frozen=True)
class Sending:
    """One destination of a run."""

    place: Place
    """Of the component in the recipe."""
    destination: Destination
    allowed: bool

    def __str__(self) -> str:
        to = self.destination
        refused = "" if self.allowed else f": refused until the user allows it ({self.cure})"
        return f"{self.what} to {to.address} ({to.component}){refused}"

    @property
    def what(self) -> str:
        """What would go there, as in "the texts and the key in OPENAI_API_KEY"."""
        to = self.destination
        return f"{to.sends} and the key in {to.key_variable}" if to.key_variable else to.sends

    @property
    def cure(self) -> str:
        """How the user allows it."""
        host = _host_of(self.destination.address)
        if host is None:
            return "name the provider's own key"
        return f"`--allow-host {host}`, or `allow_hosts` in {settings_shown()}"

    def refusal(self) -> SettingError:
        """The error of a run that would send it all the same."""
        to = self.destination
        why = to.why or f"this is not the provider's own address for `{to.component}` with its own key"
        return SettingError(
            f"{self.what} would go to {to.address}, and {why}; if you trust it, say so outside the recipe: {self.cure}",
            *to.setting,
        )


def sendings(loaded: LoadedRecipe, registry: Registry, permissions: Permissions) -> list[Sending]:
    """Everything that a run of the recipe would send, once each.

    Allowed is what goes to a provider's own address, to a host that ``permissions`` name, or to an address that a
    flag of this command line names.
    """
    found: dict[Destination, Sending] = {}
    for place, kind, use in loaded.recipe.used():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            destinations = options.destinations()
        for each in destinations:
            named_by_a_flag = bool(each.setting) and mark_at(loaded.tree, (*place, *each.setting)).source.flag
            allowed = each.own or named_by_a_flag or permissions.allow_address(each.address)
            found.setdefault(each, Sending(place, each, allowed))
    return list(found.values())


def refuse_strangers(found: list[Sending]) -> None:
    """Raise :class:`SettingError` at the first destination that the user has not allowed."""
    for each in found:
        if not each.allowed:
            with standing_at(*each.place):
                raise each.refusal()


def _host_of(address: str) -> str | None:
    """``host`` or ``host:port`` as ``--allow-host`` takes it; None where the address is only described."""
    return urlsplit(address).netloc or None
