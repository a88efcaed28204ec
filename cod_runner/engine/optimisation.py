"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch

from cod_runner.api import TrainSettings

FUSED_ON = ("cpu", "cuda")
"""Devices on which torch updates all parameters in one kernel: two to eight times as fast as one by one."""


class _Uncompiled(torch.optim.Optimizer):
    """torch wraps these methods for its compiler, and the first call of one imports that compiler, which takes a second
    or more of every process that trains; here they are what the wrappers call."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class AdamW(_Uncompiled, torch.optim.AdamW):
    """torch's own."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class Adam(_Uncompiled, torch.optim.Adam):
    """torch's own."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def build_optimiser(groups: Sequence[dict[str, Any]], settings: TrainSettings, device: str) -> torch.optim.Optimizer:
    """AdamW or Adam, fused where the device offers it.

    The weight decay applies to every trained parameter, biases and norms too, as in the paper's published scripts.
    """
    kind = AdamW if settings.optimiser == "adamw" else Adam
    return kind(
        list(groups),
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=torch.device(device).type in FUSED_ON,
    )


def rate_factor(settings: TrainSettings, step: int, total: int) -> float:
    """The share of the peak learning rate in step ``step`` (from 0) of ``total``.

    Warm-up climbs in equal parts and reaches the peak in its last step. After it ``linear`` falls to 0 behind the
    last step, ``cosine`` along half a cosine. Without warm-up the first step has the peak rate.
    """
    warmup = round(settings.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 1.0 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
