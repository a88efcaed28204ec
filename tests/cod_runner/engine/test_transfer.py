"""Copies to a device, watched without one."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from cod_runner.engine.device import sent


class Watched:
    """Notes what is asked of a tensor that lies on the CPU."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def pin_memory(self) -> Watched:
        self.asked.append("pinned")
        return self

    def to(self, device: str, *, non_blocking: bool) -> Watched:
        self.asked.append((device, non_blocking))
        return self


@pytest.mark.parametrize(("device", "pinned"), [("cuda:1", ["pinned"]), ("mps", []), ("cpu", [])])
def test_only_cuda_takes_from_pinned_memory_and_nothing_waits(device: str, pinned: list[str]) -> None:
    tensor = Watched()
    sent(cast(Tensor, tensor), device)
    assert tensor.asked == [*pinned, (device, True)]


def test_what_is_there_stays_as_it_is() -> None:
    tensor = torch.ones(3)
    assert sent(tensor, "cpu") is tensor
