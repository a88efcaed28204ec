"""Declares the executor `processes`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class ProcessOptions(Options):
    """Where worker processes run; ``--jobs`` says how many cells run at once. On a CPU neither option says anything."""

    gpus: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        description="the GPUs that train students, by torch's numbers; all unless `--device` names one",
    )
    per_gpu: int | None = Field(
        None, ge=1, description="cells at once on each GPU; by default as many as its free memory and the cores allow"
    )


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="executor",
        name="processes",
        options=ProcessOptions,
        build="codrun_executors.processes:Processes",
        summary="cells run in worker processes on this machine, a thread and a GPU each; with --jobs 1 in this process",
    )
