"""Declares the executor `processes`."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, Options, hookimpl


class ProcessOptions(Options):
    """The executor `processes` has no options; `--jobs` says how many cells run at once."""


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="executor",
        name="processes",
        options=ProcessOptions,
        build="codrun_executors.processes:Processes",
        summary="cells run in worker processes on this machine, one thread each; with --jobs 1 in this process",
    )
