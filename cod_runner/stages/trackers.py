"""The trackers of a run: those that its recipe names, and those of every run; in the main process and in workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cod_runner.api import BuildContext
from cod_runner.context import RunContext
from cod_runner.defaults import DEFAULT_TRACKERS
from cod_runner.destinations import refuse_strangers, sendings
from cod_runner.errors import SettingError, standing_at
from cod_runner.observers import Failure, Observers
from cod_runner.recipe.grammar import Recipe

Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerResult(Generic[Result]):
    """What a worker did, and which of its trackers failed meanwhile."""

    result: Result
    failures: tuple[Failure, ...] = ()


def start_trackers(context: RunContext, cells: int) -> None:
    """Build the run's trackers and tell them that it begins, with ``cells`` to run. Nothing is sent to a host that the
    user has not allowed."""
    recipe, folder = context.recipe, context.folder.path
    if not context.settings.offline:
        refuse_strangers(sendings(context.loaded, context.registry, context.settings.permissions))
    build_trackers(context.observers, recipe, folder, context.progress.warn, offline=context.settings.offline)
    plain_recipe = recipe.model_dump(mode="json")
    context.observers.notify("codrun_run_started", recipe=plain_recipe, cells=cells, folder=folder)


def build_trackers(
    observers: Observers, recipe: Recipe, run: Path, say: Callable[[str], None], *, offline: bool = False
) -> None:
    """Let the trackers observe the run in the folder ``run``; ``say`` takes what they have to tell.

    Raises :class:`SettingError` for one that the recipe does not suit, or whose library is not installed.
    """
    context = BuildContext(run=run, say=say, offline=offline)
    named: dict[str, Mapping[str, Any]] = {}
    for index, use in enumerate(recipe.trackers):
        if use.use in named:
            with standing_at("trackers", index):
                raise SettingError(f"the tracker `{use.use}` is named twice and observes a run once; remove one")
        named[use.use] = use.options
    for name in DEFAULT_TRACKERS:
        if name not in named:
            observers.build(name, {}, context)
    for name, options in named.items():
        observers.build(name, options, context)


def take_result(observers: Observers, given: WorkerResult[Result]) -> Result:
    """What a worker did; the failures of its trackers are told here."""
    observers.take(given.failures)
    return given.result
