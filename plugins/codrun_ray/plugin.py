"""Declares the executor `ray`; importing this imports no Ray."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from pydantic import Field, field_validator

from cod_runner.api import ClusterRequest, Component, Destination, MemoryOption, Options, hookimpl

STRANGE = "who answers there can run code on this machine and reads what is trained"
"""Why a cluster that a recipe names needs the user's word."""
THIS_MACHINES = "the Ray cluster that runs on this machine"
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9]([A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


class RayOptions(Options):
    """Cells run in workers of Ray's, one cell at a time each. Every node needs codrun and, under the same paths, the
    run's folder and the store."""

    address: str | None = Field(
        None,
        description="`host:port` of a running cluster's head, which the user must allow (`--allow-host`), or `auto`: "
        "the cluster in the environment variable `RAY_ADDRESS`, or the one that runs on this machine; absent: a Ray "
        "of the run's own on this machine, which ends with it",
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=64,
        description="GPUs of a worker: a whole number, or a part of one, as in 0.5; absent: 1 where the run's device "
        "is a GPU, else none",
    )
    cpus: int = Field(1, ge=1, le=1024, description="CPU cores of a worker; a student trains on one")
    memory: MemoryOption | None = Field(
        None,
        description="memory that Ray sets aside for a worker, as in 8GB; absent: what codrun expects a cell to take",
    )

    @field_validator("address")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None or value == "auto":
            return value
        found = _HOST_AND_PORT.fullmatch(value)
        if found is None or not 1 <= int(found[2]) <= 65535:
            raise ValueError("must be `auto`, or `host:port` of the head of a Ray cluster, as in 10.0.0.1:6379")
        return value

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_part_of_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("must be a whole number, or a part of one GPU, as in 0.5")
        if value is not None and 0 < value < 0.01:
            raise ValueError("must be 0, or at least 0.01")
        return value

    def destinations(self) -> Sequence[Destination]:
        """The cluster, with the user's leave where the recipe names it; one that `auto` finds is the user's own."""
        sends = "the recipe, the texts and codrun's work"
        if self.address is None:
            return ()
        if self.address == "auto":
            return [Destination("ray", os.environ.get("RAY_ADDRESS") or THIS_MACHINES, sends, setting=("address",))]
        address = f"tcp://{self.address}"
        return [Destination("ray", address, sends, own=False, why=STRANGE, setting=("address",))]

    def cluster_request(self, cells: int) -> ClusterRequest | None:
        """A worker for each cell that runs at once."""
        if self.address is None:
            return None
        address = os.environ.get("RAY_ADDRESS") if self.address == "auto" else self.address
        cluster = f"the Ray cluster at {address}" if address else THIS_MACHINES
        return ClusterRequest(cluster, cells, at_once=None, cpus=self.cpus, gpus=self.gpus, memory=self.memory)


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="executor",
        name="ray",
        options=RayOptions,
        build="codrun_ray.executor:Ray",
        summary="cells run on a Ray cluster, or on a Ray of the run's own on this machine "
        '(needs `pip install "codrun[ray]"`)',
    )
