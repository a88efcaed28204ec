"""One way to load and to run a recipe, for the command line and for Python."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.errors import CodrunError
from cod_runner.permissions import NO_PERMISSIONS, Permissions, as_when_it_ran
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.recipe.builds import refuse_unbuildable
from cod_runner.store import Store

if TYPE_CHECKING:
    from cod_runner.context import RunSettings
    from cod_runner.progress import Progress
    from cod_runner.registry import Registry
    from cod_runner.running import RunResult


@dataclass(frozen=True)
class Asked:
    """A recipe's file, and what a call puts on top of it; None where it leaves the recipe as it is."""

    recipe: Path
    profile: str | None = None
    overrides: Sequence[str] = ()
    """Each ``key.path=value``, the value in YAML."""
    k: Sequence[int] | None = None
    seeds: Sequence[int] | None = None
    methods: Sequence[str] | None = None
    arms: Sequence[str] | None = None
    students: str | None = None
    """``all``, ``best`` or ``none``."""
    executor: str | None = None

    def load(self, registry: Registry, permissions: Permissions = NO_PERMISSIONS) -> LoadedRecipe:
        """Read and check the recipe; raises :class:`RecipeError` with every fault found."""
        flags: dict[str, Any] = {
            "k": self.k,
            "seeds": self.seeds,
            "methods": self.methods,
            "arms": self.arms,
            "students": self.students,
        }
        loaded = load_recipe(
            self.recipe,
            registry,
            profile=self.profile,
            overrides=self.overrides,
            executor=self.executor,
            flags={
                name: value if isinstance(value, str) else list(value)
                for name, value in flags.items()
                if value is not None
            },
            permissions=as_when_it_ran(self.recipe, Store().root, permissions),
        )
        refuse_unbuildable(loaded, registry)
        return loaded


def run_as_asked(asked: Asked, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """``codrun RECIPE``, and :func:`cod_runner.run`: load the recipe, run every cell that is not done, report.

    Raises :class:`CodrunError`, or one of its subclasses, for whatever can be foreseen.
    """
    _not_while_a_worker_starts()
    loaded = asked.load(registry, settings.permissions)
    from cod_runner import running  # after the recipe's faults have been told

    with loaded.pointing():
        return running.run(loaded, registry, settings, progress)


def _not_while_a_worker_starts() -> None:
    """A worker process imports the script that started it, which then runs the recipe again, and so on."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself finds it out
        raise CodrunError(
            "a worker process imports the script that calls cod_runner.run: put the call below "
            '`if __name__ == "__main__":`, or give `jobs=1`'
        )
