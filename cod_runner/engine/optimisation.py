"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from cod_runner.api import TrainSettings


def build_optimiser(groups: Sequence[dict[str, Any]], settings: TrainSettings, device: str) -> torch.optim.Optimizer:
    """AdamW or Adam, fused where the device offers it; one weight decay for every parameter of the student."""
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    fused = torch.device(device).type in ("cpu", "cuda")
    return kind(
        list(groups),
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def cut_is_exact(settings: TrainSettings) -> bool:
    """Whether training only the embedding rows in use gives the same weights: an untouched row's step must be its
    decay alone, which holds for decoupled decay, and for Adam without any."""
    return settings.compact_vocabulary and (settings.optimiser == "adamw" or settings.weight_decay == 0)


def rate_factor(settings: TrainSettings, step: int, total: int) -> float:
    """The share of the peak learning rate in step ``step`` (from 0) of ``total``."""
    warmup = round(settings.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 1.0 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def clip_gradients(parameters: Iterable[nn.Parameter], settings: TrainSettings) -> None:
    """Scale all gradients down to the largest norm that the settings allow."""
    if settings.clip is not None:
        nn.utils.clip_grad_norm_(list(parameters), settings.clip)
