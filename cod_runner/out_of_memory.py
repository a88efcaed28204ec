"""Whether an exception says that memory ran out, on the machine or on a GPU."""

from __future__ import annotations

import sys

IN_TORCHS_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What a plain RuntimeError of torch's says where memory ran out; only some have a class of their own."""


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it was raised from, says so. Imports no torch: without it nothing of torch's
    was raised."""
    torch = sys.modules.get("torch")
    while error is not None:
        if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in IN_TORCHS_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
