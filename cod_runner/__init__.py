"""codrun: few-shot knowledge distillation with counterfactual explanations, as declarative recipes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cod_runner.registry import Registry
    from cod_runner.running import RunResult

__all__ = ["__version__", "run"]
__version__ = "0.1.0"

_Value = TypeVar("_Value", int, str)

# Threads that compute together wait for each other after every operation. By default they spin, and on a machine that
# is busy with other work too each then keeps the core that another one needs: fine-tuning took 15 to 40 times as long.
# OpenMP reads this when torch is imported; it changes no number.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run(
    recipe: str | os.PathLike[str],
    *,
    profile: str | None = None,
    overrides: str | Sequence[str] = (),
    k: int | Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    methods: str | Sequence[str] | None = None,
    arms: str | Sequence[str] | None = None,
    students: str | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    executor: str | None = None,
    device: str = "auto",
    offline: bool = False,
    fresh: bool = False,
    quiet: bool = True,
    allow_hosts: Sequence[str] = (),
    allow_folders: Sequence[str | os.PathLike[str]] = (),
    allow_local_plugins: bool = False,
    allow_callables: Sequence[str] = (),
    registry: Registry | None = None,
    strict: bool = False,
) -> RunResult:
    """Run a recipe as ``codrun RECIPE`` does, with the same folder, cells and files; finished cells are not repeated.

    >>> import cod_runner
    >>> result = cod_runner.run("recipes/ci/moons.yaml", seeds=[0, 1], out="runs/moons")
    >>> result.folder.path
    PosixPath('runs/moons')
    >>> [(row.arm, row.seed, row.metrics["agreement"]) for row in result.rows]
    >>> result.raise_if_incomplete()  # CellsLeftOut, where a cell could not run
    >>> result.raise_if_missed()  # ExpectationMissed, where an entry of `expect:` was not met

    Each argument is the flag of that name: ``overrides`` are ``--set``, each ``"key.path=value"`` with the value in
    YAML; ``k``, ``seeds``, ``methods`` and ``arms`` run only these; ``out`` is the run's folder, else ``runs/NAME``
    below the working directory; ``allow_hosts``, ``allow_folders``, ``allow_local_plugins`` and ``allow_callables``
    let the recipe do what a stranger's may not.
    With ``quiet`` only warnings are said; nothing is printed on standard output. ``registry`` holds the plugins;
    without it the installed ones are found. With ``strict`` an expectation that ``profile`` or another argument left
    out counts as missed.

    Students train in worker processes unless ``jobs`` is 1 or one cell is left: a script must then call this below
    ``if __name__ == "__main__":``.

    The result has ``folder.path``, ``record`` (``run.json``), ``rows`` (the cells), ``report`` (tables and gains) and
    ``expectations``. A missed expectation and a cell that could not run raise nothing by themselves.

    Raises :class:`cod_runner.errors.RecipeError` for a recipe or an argument that is wrong, with every fault found,
    and :class:`cod_runner.errors.CodrunError`, whose subclass it is, for any other failure that one sentence explains.
    """
    from pathlib import Path

    from cod_runner.calling import Asked, run_as_asked
    from cod_runner.context import RunSettings
    from cod_runner.permissions import read_permissions
    from cod_runner.progress import Progress
    from cod_runner.registry import Registry

    progress = Progress(quiet=quiet)
    if registry is None:
        registry = Registry.discover()
        for warning in registry.warnings:
            progress.warn(warning)
    asked = Asked(
        recipe=Path(recipe),
        profile=profile,
        overrides=_several(overrides),
        k=None if k is None else _several(k),
        seeds=None if seeds is None else _several(seeds),
        methods=None if methods is None else _several(methods),
        arms=None if arms is None else _several(arms),
        students=students,
        executor=executor,
    )
    settings = RunSettings(
        out=None if out is None else Path(out),
        jobs=jobs,
        device=device,
        offline=offline,
        fresh=fresh,
        permissions=read_permissions(
            allow_hosts,
            [Path(folder) for folder in allow_folders],
            local_plugins=allow_local_plugins,
            callables=allow_callables,
        ),
        strict=strict,
    )
    return run_as_asked(asked, registry, settings, progress)


def _several(values: _Value | Sequence[_Value]) -> list[_Value]:
    """One value, or several, as a list."""
    return [values] if isinstance(values, int | str) else list(values)
