"""What the engine computes on: the device, the precision of autocast, CPU threads, and copies that wait for nothing.

Parameters stay float32; low precision means autocast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from cod_runner.errors import CodrunError, RecipeError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> str:
    """``auto`` takes CUDA, then Apple's GPU, then the CPU; raises :class:`RecipeError` for a name that no
    device has, and :class:`CodrunError` for one that this machine lacks."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise RecipeError(f"no device is called `{wanted}`; there are cpu, cuda, cuda:1, mps and auto") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise CodrunError(f"this machine has no `{wanted}`; omit --device to take the best there is")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise CodrunError(f"this machine has no `{wanted}`; omit --device to take the best there is")
    return wanted


def resolve_precision(precision: str, device: str) -> str:
    """``auto`` is bf16 where the machine computes in it, else fp32."""
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16"
    return "fp32"


def autocast(precision: str, device: str) -> AbstractContextManager[None]:
    """Autocast in a resolved precision; weights stay float32."""
    if precision == "fp32":
        return nullcontext()
    context: AbstractContextManager[None] = torch.autocast(torch.device(device).type, dtype=AUTOCAST[precision])
    return context


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with ``count`` threads inside the block, and with as many as before after it.

    Sums over threads round differently, so the number of threads is part of a result.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sent(tensor: Tensor, device: str) -> Tensor:
    """``tensor`` on ``device``; work that was queued there before continues meanwhile.

    Out of pageable memory CUDA first lets everything end that was queued, so the copy starts from pinned memory.
    """
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """On a CPU, choose kernels that add in one order; a GPU is left its faster ones.

    Through torch's debug mode: ``use_deterministic_algorithms`` does the same and imports torch's compiler, which takes
    a second or more.
    """
    before = torch.get_deterministic_debug_mode()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if torch.device(device).type == "cpu":
        torch.set_deterministic_debug_mode("warn")
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
