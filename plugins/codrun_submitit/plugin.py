"""Declares the executor `submitit`; importing this does not import the library."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_submitit.options import SubmititOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="executor",
        name="submitit",
        options=SubmititOptions,
        build="codrun_submitit.executor:Submitit",
        summary='cells run as Slurm jobs, or without Slurm as processes here (needs `pip install "codrun[submitit]"`)',
    )
