"""A run's context: made once when the run starts, handed to every stage; and what a worker process needs of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cod_runner.permissions import Permissions
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.store import Maker, Store

if TYPE_CHECKING:
    from cod_runner.llm.budget import Spending
    from cod_runner.observers import Observers
    from cod_runner.progress import Progress
    from cod_runner.runs.folder import RunFolder


@dataclass(frozen=True)
class RunSettings:
    """Flags that change where and how a run happens, never what it computes."""

    out: Path | None = None
    jobs: int | None = None
    device: str = "auto"
    offline: bool = False
    fresh: bool = False
    permissions: Permissions = field(default_factory=Permissions)
    strict: bool = False
    """Whether an expectation that a profile or a flag left out counts as missed."""

    @property
    def flags(self) -> list[str]:
        """The settings as the command line writes them; none for one that has its default."""
        named = {"--out": self.out, "--jobs": self.jobs}
        flags = [word for flag, value in named.items() if value is not None for word in (flag, str(value))]
        flags += ["--device", self.device] if self.device != "auto" else []
        flags += self.permissions.flags
        given = {"--offline": self.offline, "--fresh": self.fresh, "--strict": self.strict}
        return [*flags, *(flag for flag, value in given.items() if value)]


@dataclass(frozen=True)
class WorkerContext:
    """What a process that trains students needs of a run; can be pickled."""

    recipe: Recipe
    store: Store
    device: str
    offline: bool
    students: Path
    """The run's folder of trained students."""


@dataclass
class RunContext:
    """What every stage of a run needs, and nothing that a stage makes."""

    loaded: LoadedRecipe
    registry: Registry
    store: Store
    settings: RunSettings
    folder: RunFolder
    spending: Spending
    """Budget and meter, shared by everything in the run that calls a paid model."""
    progress: Progress
    observers: Observers
    """The run's trackers, once they are built."""

    @property
    def recipe(self) -> Recipe:
        return self.loaded.recipe

    @cached_property
    def device(self) -> str:
        """The device that the settings name, or the best there is; raises :class:`CodrunError` for one that is not."""
        from cod_runner.engine.device import choose_device  # imports torch

        return choose_device(self.settings.device)

    def told_spending(self) -> list[str]:
        """What the run spent so far, as a line beside its stages; none where it called no paid model."""
        return list(filter(None, [str(self.spending.total)]))

    def note_use(self, name: str, *, new: bool = False) -> None:
        """Note in the store that this run needs the entry ``name``, and makes it if it is ``new``."""
        self.store.uses.note(name, Maker(self.recipe.name, self.folder.path.name), new=new)

    @cached_property
    def worker(self) -> WorkerContext:
        """What another process needs of this run."""
        students = self.folder.students.absolute()  # a worker may start in another folder
        return WorkerContext(self.recipe, self.store, self.device, self.settings.offline, students)


@contextmanager
def opened_run(
    loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress
) -> Iterator[RunContext]:
    """Make the context of a run: its folder locked against every other codrun, the store against pruning."""
    from cod_runner.llm.budget import Spending
    from cod_runner.observers import Observers
    from cod_runner.runs.folder import RunFolder

    recipe, store, path = loaded.recipe, Store(), run_path(loaded, settings.out)
    with (
        RunFolder(path).opened() as folder,
        store.in_use(f"the run {path}"),
        registry.blaming_plugins(),
    ):
        bounds = recipe.bounds
        spending = Spending(bounds.calls, bounds.tokens, bounds.usd, run=folder.identifier, named=recipe.budget_key)
        observers = Observers(registry, progress.warn)
        yield RunContext(loaded, registry, store, settings, folder, spending, progress, observers)


def command_of(loaded: LoadedRecipe, settings: RunSettings) -> str:
    """The command that repeats a run in the same working directory, for a shell; also for a call from Python."""
    recipe = str(loaded.path)
    if not loaded.path.is_absolute() and (not loaded.path.suffix or recipe.startswith("-")):
        recipe = f"./{recipe}"  # else it is taken for a command, or a flag
    return shlex.join(["codrun", recipe, *loaded.flags, *settings.flags])


def run_path(loaded: LoadedRecipe, out: Path | None) -> Path:
    """``--out``, or ``runs/<name>``, or ``runs/<name>-<profile>`` under a profile."""
    if out is not None:
        return out
    return Path("runs") / (f"{loaded.recipe.name}-{loaded.profile}" if loaded.profile else loaded.recipe.name)
