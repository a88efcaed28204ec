"""Which exceptions say that memory ran out."""

from __future__ import annotations

import pytest
import torch

from cod_runner.errors import CodrunError
from cod_runner.out_of_memory import ran_out_of_memory


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("CUDA error: out of memory"), True),
        (raised(CodrunError("the student `hf` raised OutOfMemoryError"), torch.OutOfMemoryError("...")), True),
        (ValueError("CUDA out of memory"), False),
        (raised(CodrunError("the student `hf` raised KeyError"), KeyError("...")), False),
    ],
)
def test_which_exceptions_say_that_memory_ran_out(error: BaseException, memory: bool) -> None:
    assert ran_out_of_memory(error) is memory
