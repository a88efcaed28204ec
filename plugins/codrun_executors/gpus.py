"""The GPUs of this machine that a run may use, as torch and ``CUDA_VISIBLE_DEVICES`` name them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cod_runner.api import CodrunError
from codrun_executors.places import VARIABLE, Gpu, names_of_gpus
from codrun_executors.worker_process import SPAWN


def chosen_gpus(device: str, numbers: Sequence[int] | None, *, with_memory: bool) -> list[Gpu]:
    """The GPU that ``device`` names, as ``cuda:1`` does, else those of the ``numbers``, else all that are visible; of
    each its free memory where that is asked for. Raises :class:`CodrunError` for a number that no GPU has."""
    import torch

    names = names_of_gpus(os.environ.get(VARIABLE), torch.cuda.device_count())
    index = torch.device(device).index
    wanted = [index] if index is not None else list(dict.fromkeys(numbers or range(len(names))))
    for number in wanted:
        if number >= len(names):
            there = f"numbers 0 to {len(names) - 1}" if len(names) > 1 else "number 0 alone"
            raise CodrunError(f"executor.gpus: there is no GPU number {number}; this process sees {there}")
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # what the teacher needed; nothing else in this process will
    free = _free_bytes(len(names)) if with_memory else [None] * len(names)
    return [Gpu(number, names[number], free[number]) for number in wanted]


def _free_bytes(count: int) -> list[int | None]:
    """Asked in a process of its own, since who asks CUDA begins to use the GPU, and takes of its memory for good."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        try:
            return pool.submit(_asked, count).result()
        except BrokenProcessPool:  # by a driver's fault; what is known without is one cell on each
            return [None] * count


def _asked(count: int) -> list[int | None]:
    import torch

    found: list[int | None] = []
    for number in range(count):
        try:
            found.append(torch.cuda.mem_get_info(number)[0])
        except RuntimeError:  # one that another process has for itself
            found.append(None)
    return found
