"""Calls observers one by one: one that fails is named once and observes no longer, and the run goes on without it.

A :class:`SettingError` is no failure but the observer's word that the recipe does not suit it: it ends the run.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from cod_runner.api import BuildContext
from cod_runner.errors import CodrunError, SettingError
from cod_runner.hookspecs import Hooks
from cod_runner.plain_text import one_line
from cod_runner.registry import Registry

LOG = logging.getLogger("codrun")
LONGEST_FAULT = 500
"""Characters of what an observer's exception says."""


@dataclass(frozen=True)
class Failure:
    """An observer that failed, here or in a worker. Can be pickled."""

    name: str
    """Of the observer."""
    sentence: str
    traceback: str
    """As Python prints it."""


class Observer:
    """One object with observer hooks, alone with its hooks, so that it keeps no other from being called."""

    def __init__(self, name: str, named: str, observing: object) -> None:
        self.name = name
        self.named = named
        """As sentences name it."""
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
        """Build a tracker, which observes from now on; a :class:`SettingError` from it points at the tracker."""
        with self._guarded(name, self._named(name), "when it was built"):
            tracker = Observer(name, self._named(name), self._registry.build("tracker", name, options, context))
            if not tracker.hooks:
                raise TypeError("none of its methods is a hook of codrun, marked with @hookimpl")
            self._trackers[name] = tracker

    def notify(self, hook: str, **given: Any) -> None:
        """Call a hook of every observer."""
        for each in (*self._trackers.values(), *self._of_the_registry(hook)):
            if hook in each.hooks and each.name not in self.failures:
                with self._guarded(each.name, each.named, f"in {hook}"):
                    each.call(hook, given)

    def take(self, failures: Iterable[Failure]) -> None:
        """Hear of observers that failed in a worker: they observe no longer here either."""
        for failure in failures:
            if failure.name not in self.failures:
                self.failures[failure.name] = failure
                self._warn(failure.sentence)
                _log_traceback(failure)

    def _of_the_registry(self, hook: str) -> Iterator[Observer]:
        """Whatever observes every run, the last that was registered first."""
        for implemented in reversed(getattr(self._registry.hook, hook).get_hookimpls()):
            place = id(implemented.plugin)
            if place not in self._others:
                distribution, _, name = implemented.plugin_name.rpartition(":")
                named = f"the plugin `{name}`" + (f" ({distribution})" if distribution else "")
                self._others[place] = Observer(implemented.plugin_name, named, implemented.plugin)
            yield self._others[place]

    def _named(self, name: str) -> str:
        """The tracker and its package."""
        for plugin in self._registry.plugins:
            if any((one.kind, one.name) == ("tracker", name) for one in plugin.components):
                package = f"{plugin.distribution or plugin.name} {plugin.version}".strip()
                return f"the tracker `{name}` ({package})"
        return f"the tracker `{name}`"

    @contextmanager
    def _guarded(self, name: str, named: str, when: str) -> Iterator[None]:
        try:
            yield
        except SettingError as error:
            if error.component is None and name in self._trackers:
                error.component = ("tracker", name)
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
            whole = "".join(traceback.format_exception(error))
            self.take((Failure(name, f"{_told(named, when, error)}; it observes no longer, the run goes on", whole),))


def _told(named: str, when: str, error: BaseException) -> str:
    """One sentence; of an exception that nobody foresaw with its place, the deepest that is not a library's."""
    if isinstance(error, CodrunError):
        return one_line(f"{named} failed {when}: {error}")
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - it is a stranger's code too
        said = "an error that cannot be shown"
    shortened = f"{said[:LONGEST_FAULT]}{'...' if len(said) > LONGEST_FAULT else ''}"
    what = f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts] or frames
    where = f", at {own[-1].filename}:{own[-1].lineno}" if own else ""
    return one_line(f"{named} failed {when}: {what}{where}")


def _log_traceback(failure: Failure) -> None:
    """It may be another process's, of which only the text is here."""
    record = LOG.makeRecord(LOG.name, logging.WARNING, __file__, 0, f"what `{failure.name}` raised:", (), None)
    record.exc_text = failure.traceback
    LOG.handle(record)
