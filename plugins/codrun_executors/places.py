"""Where workers run: how many fit on a machine and its GPUs, and on which GPU each is. Asks the machine nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

VARIABLE = "CUDA_VISIBLE_DEVICES"
USABLE = 0.9
"""The part of the free memory that is counted on: allocators take it in large pieces, and others use the machine too.
"""
PROCESS_BYTES = 500_000_000
"""What a worker process takes besides its cell: torch, transformers and codrun, once they are imported."""
CUDA_PROCESS_BYTES = 2_000_000_000
"""The same of the machine's memory where it computes with CUDA, whose libraries are large."""
CONTEXT_BYTES = 600_000_000
"""What CUDA's context and kernels of a process take of its GPU."""


@dataclass(frozen=True)
class Gpu:
    """One that is visible."""

    number: int
    """Torch's, in the run's process."""
    name: str
    """What ``CUDA_VISIBLE_DEVICES`` calls it: a number, a UUID, or the name of a part of one (MIG)."""
    free_bytes: int | None = None
    """Its free memory; None where it is unknown."""


@dataclass(frozen=True)
class Place:
    """Where one worker runs."""

    gpu: Gpu | None = None
    """The one that it alone sees; None where it has the run's own device."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of its process, besides what it inherits."""


def names_of_gpus(visible: str | None, count: int) -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the first ``count`` GPUs, in torch's order, where it is ``visible`` now."""
    if visible is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in visible.split(",")][:count]


def cells_in(free_bytes: int | None, cell_bytes: int | None, besides: int) -> int | None:
    """How many processes that each take ``besides`` fit into free memory with a cell each; None where it is unknown."""
    if free_bytes is None or cell_bytes is None:
        return None
    return int(free_bytes * USABLE) // (cell_bytes + besides)


def capacities(gpus: Sequence[Gpu], cell_bytes: int | None, per_gpu: int | None) -> list[int]:
    """How many cells each GPU has room for: ``per_gpu``, or as memory allows, or one where it is unknown. One that has
    room for none is left out, unless no other has: then the one with the most memory takes one."""
    rooms = [per_gpu or cells_in(gpu.free_bytes, cell_bytes, CONTEXT_BYTES) for gpu in gpus]
    found = [1 if room is None else room for room in rooms]
    if gpus and not any(found):
        found[max(range(len(gpus)), key=lambda number: gpus[number].free_bytes or 0)] = 1
    return found


def spread(rooms: Sequence[int], count: int) -> list[int]:
    """The GPU of each of ``count`` workers, by its position in ``rooms``: one after the other, so that they are filled
    evenly, until one is full; again from the start where there are more workers than room."""
    order = [position for level in range(max(rooms, default=0)) for position, room in enumerate(rooms) if room > level]
    return [order[number % len(order)] for number in range(count)]
