"""How many cells run at once on a run's device, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codrun_executors.places import (
    CUDA_PROCESS_BYTES,
    PROCESS_BYTES,
    VARIABLE,
    Gpu,
    Place,
    capacities,
    cells_in,
    spread,
)

ENVIRONMENT = {"RAYON_NUM_THREADS": "1"}
"""Of every worker: tokenizers share the cores as fairly as torch, whose one thread each cell sets. NumPy's BLAS is left
as it is in the run's own process, since its sums round differently with another number of threads."""


@dataclass(frozen=True)
class Room:
    """What a machine has room for."""

    at_once: int
    device: str
    """Torch's name, in a worker."""
    gpus: tuple[Gpu, ...] = ()
    """Those that workers are spread over; none where all compute on ``device`` as the run's process sees it."""
    rooms: tuple[int, ...] = ()
    """How many cells each of them takes at once."""
    regardless_of_memory: int = 1
    """How many at once if there were memory enough."""
    memory_limit: str = ""
    """A clause that says what memory there is and what a cell takes; "" where memory is enough."""

    def places(self, jobs: int) -> list[Place]:
        """A place for each of ``jobs`` workers."""
        if not self.gpus:
            return [Place(environment=ENVIRONMENT)] * jobs
        chosen = [self.gpus[position] for position in spread(self.rooms, jobs)]
        return [Place(gpu, {**ENVIRONMENT, VARIABLE: gpu.name}) for gpu in chosen]

    def sentence(self, jobs: int, tasks: int) -> str | None:
        """A sentence for the user where memory decides how many of the tasks run at once, or is likely to run out."""
        most, limit = self.at_once, self.memory_limit
        if not limit or min(jobs, tasks) < most or tasks <= most:
            return None
        if jobs > most:
            return f"{min(jobs, tasks)} cells at once may run out of memory: {limit}, which is room for {most}"
        return f"{most} at once, not {min(self.regardless_of_memory, tasks)}, for want of memory: {limit}"


def room_on_cpu(device: str, free_bytes: int | None, cell_bytes: int | None, cores_here: int) -> Room:
    """A core for each cell, and memory as far as its need is known."""
    fitting = cells_in(free_bytes, cell_bytes, PROCESS_BYTES)
    if fitting is None or fitting >= cores_here:
        return Room(cores_here, device, regardless_of_memory=cores_here)
    needed = f"a cell takes up to {_shown(cell_bytes)}, its process {_shown(PROCESS_BYTES)}"
    limit = f"{needed}, and {_shown(free_bytes)} are free"
    return Room(max(1, fitting), device, regardless_of_memory=cores_here, memory_limit=limit)


def room_on_gpus(
    device: str,
    gpus: Sequence[Gpu],
    cell_bytes: int | None,
    per_gpu: int | None,
    cores_here: int,
    free_bytes: int | None,
) -> Room:
    """``per_gpu`` cells on each GPU; else as many as its memory has room for, in all no more than there are cores, or
    one on each GPU, and no more than the machine's memory (``free_bytes``) has room for.

    A single GPU is called by the name that it has in the run's own process, which can use it too.
    """
    rooms = capacities(gpus, cell_bytes, per_gpu)
    wanted = sum(rooms) if per_gpu else max(cores_here, len(gpus))
    limits = [(wanted, "")]
    if not per_gpu:
        most = max((gpu.free_bytes or 0 for gpu in gpus), default=0)
        needed = f"a cell takes up to {_shown(cell_bytes)}, and a GPU has at most {_shown(most)} free"
        limits.append((sum(rooms), "" if cell_bytes is None else needed))
    if not per_gpu and free_bytes is not None:
        needed = f"a process with CUDA takes about {_shown(CUDA_PROCESS_BYTES)} of the machine's"
        limits.append((max(1, free_bytes // CUDA_PROCESS_BYTES), f"{needed}, and {_shown(free_bytes)} are free"))
    at_once, limit = min(limits, key=lambda each: each[0])
    if len(gpus) == 1:
        name = device if ":" in device else f"cuda:{gpus[0].number}"
        return Room(at_once, name, regardless_of_memory=wanted, memory_limit=limit)
    return Room(at_once, "cuda", tuple(gpus), tuple(rooms), wanted, limit)


def _shown(count: int | None) -> str:
    return f"{(count or 0) / 1e9:.1f} GB"
