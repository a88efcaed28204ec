"""Devices, autocast and threads: what the machine can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from cod_runner.errors import CodrunError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> str:
    """``auto`` takes CUDA, then Apple's GPU, then the CPU; anything else is checked."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise CodrunError(f"no device is called `{wanted}`; there are cpu, cuda, cuda:1, mps and auto") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise CodrunError(f"this machine has no `{wanted}`; leave --device away to take the best there is")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise CodrunError(f"this machine has no `{wanted}`; leave --device away to take the best there is")
    return wanted


def resolve_precision(precision: str, device: str) -> str:
    """``auto`` is bf16 where the machine computes in it, else fp32."""
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu" and torch.cpu._is_avx512_bf16_supported():
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
    """Run torch on ``count`` CPU threads; sums are then added in one known order."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
