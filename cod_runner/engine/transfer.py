"""Copies to the training device that wait for nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: str) -> Tensor:
    """``tensor`` on ``device``; what was queued there before goes on meanwhile.

    Out of pageable memory CUDA first lets everything end that was queued, so the copy starts from pinned memory.
    """
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
