"""Calls observers one by one: one that fails is named once and observes no longer, and the run goes on without it.

A :class:`SettingError` is no failure but the observer's word that the recipe does not suit it: it ends the run.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pluggy

from cod_runner.api import BuildContext
from cod_runner.blame import ComponentFailed, failure, log_traceback
from cod_runner.errors import CodrunError, SettingError
from cod_runner.hookspecs import Hooks
from cod_runner.registry import Registry


@dataclass(frozen=True)
class Failure:
    """An observer that failed, here or in a worker. Can be pickled."""

    name: str
    """Of the observer."""
    error: ComponentFailed


Blaming = Callable[[BaseException], ComponentFailed]
"""What is said of an exception that an observer raised."""


class Observer:
    """One object with observer hooks, alone with its hooks, so that it keeps no other from being called."""

    def __init__(self, name: str, observing: object, blaming: Blaming) -> None:
        self.name = name
        self.blaming = blaming
        manager = pluggy.PluginManager("codrun")
        manager.add_hookspecs(Hooks)
        manager.register(observing, name=name)
        manager.check_pending()
        self._hook = manager.hook
        self.hooks = frozenset(caller.name for caller in manager.get_hookcallers(observing) or ())

    def call(self, hook: str, given: Mapping[str, Any]) -> None:
        """Call one of its hooks with the arguments that it takes."""
        getattr(self._hook, hook)(**given)


class Observers:
    """The trackers of one run, and whatever else of the registry observes every run.

    ``warn`` takes one sentence about each that fails.
    """

    def __init__(self, registry: Registry, warn: Callable[[str], None]) -> None:
        self._registry, self._warn = registry, warn
        self._trackers: dict[str, Observer] = {}
        self._others: dict[int, Observer] = {}
        self.failures: dict[str, Failure] = {}
        """By the observer's name, of those that failed in this process."""

    def build(self, name: str, options: Mapping[str, Any], context: BuildContext) -> None:
        """Build a tracker, which observes from now on; a :class:`SettingError` from it points at the tracker.

        Raises :class:`PluginError` where there is no such tracker.
        """
        registry, named = self._registry, self._registry.named("tracker", name)
        blaming = partial(_failure, named, partial(registry.blame, "tracker", name))
        with self._guarded(name, blaming):
            tracker = Observer(name, registry.build("tracker", name, options, context), blaming)
            if not tracker.hooks:
                raise TypeError("none of its methods is a hook of codrun that is marked with `@hookimpl`")
            self._trackers[name] = tracker

    def notify(self, hook: str, **given: Any) -> None:
        """Call a hook of every observer."""
        for each in (*self._trackers.values(), *self._of_the_registry(hook)):
            if hook in each.hooks and each.name not in self.failures:
                with self._guarded(each.name, each.blaming):
                    each.call(hook, given)

    def take(self, failures: Iterable[Failure]) -> None:
        """Hear of observers that failed in a worker: they observe no longer here either."""
        for each in failures:
            if each.name not in self.failures:
                self.failures[each.name] = each
                self._warn(f"{each.error}; it observes no longer, the run goes on")
                log_traceback(each.error)

    def _of_the_registry(self, hook: str) -> Iterator[Observer]:
        """Whatever observes every run, the last that was registered first."""
        for implemented in reversed(getattr(self._registry.hook, hook).get_hookimpls()):
            place = id(implemented.plugin)
            if place not in self._others:
                distribution, _, name = implemented.plugin_name.rpartition(":")
                named = f"the plugin `{name}`" + (f" ({distribution})" if distribution else "")
                owns = partial(_share_a_package, str(implemented.function.__module__))
                blaming = partial(_failure, named, partial(failure, named, owns=owns))
                self._others[place] = Observer(implemented.plugin_name, implemented.plugin, blaming)
            yield self._others[place]

    @contextmanager
    def _guarded(self, name: str, blaming: Blaming) -> Iterator[None]:
        try:
            yield
        except SettingError as error:
            if error.component is None and name in self._trackers:
                error.component = ("tracker", name)
            raise
        except ComponentFailed as error:  # already told by the registry
            self.take([Failure(name, error)])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
            self.take([Failure(name, blaming(error))])


def _failure(named: str, unforeseen: Blaming, error: BaseException) -> ComponentFailed:
    """What is said of an observer's exception; one that the observer foresaw has its own sentence."""
    if isinstance(error, CodrunError):
        return ComponentFailed(f"{named} failed: {error}", "".join(traceback.format_exception(error)))
    return unforeseen(error)


def _share_a_package(one: str, other: str) -> bool:
    """Whether two modules are of one package."""
    return one.partition(".")[0] == other.partition(".")[0]
