"""Declares the executor `futures`; importing this imports no library of a cluster's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field, JsonValue

from cod_runner.api import CallableOption, Component, Options, hookimpl


class FuturesOptions(Options):
    """Cells on the `concurrent.futures.Executor` that a function of yours, or of a library, makes.

    A process runs one cell at a time, whatever its threads. The user must allow the function outside the recipe.
    """

    factory: CallableOption = Field(
        description="`module:callable` that gives the executor, such as `codrun_futures.dask:executor`; "
        "`--allow-callable` allows it"
    )
    options: dict[str, JsonValue] = Field(default_factory=dict, description="what `factory` is called with, by name")
    at_once: int | None = Field(
        None, ge=1, le=100_000, description="cells at once unless `--jobs` says; absent: one per core of this machine"
    )
    device: str | None = Field(
        None, min_length=1, max_length=20, description="on which students train there, cuda, say; absent: the run's own"
    )

    def callables(self) -> Sequence[str]:
        """The factory, which is called with whatever the recipe says."""
        return [self.factory]


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="executor",
        name="futures",
        options=FuturesOptions,
        build="codrun_futures.executor:Futures",
        summary="cells on any `concurrent.futures` executor: Dask (`codrun_futures.dask:executor`), Parsl, MPI",
    )
