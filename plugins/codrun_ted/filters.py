"""The filters of TED and the heads that they are trained under, all layers at once as stacked matrices."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class StackedLinear(nn.Module):
    """A linear map per layer: ``[layers, rows, inputs]`` to ``[layers, rows, outputs]``, initialised as `nn.Linear`."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layers: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(layers, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(layers, 1, outputs).uniform_(-bound, bound))

    def forward(self, states: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, states, self.weight)


class Filters(nn.Module):
    """One filter per layer, g_k(h; W_k) in the paper (arXiv 2210.01351): linear, or linear, GELU, linear.

    As in its published code, the first map of a nonlinear filter keeps the model's own width.
    """

    def __init__(self, layers: int, inputs: int, width: int, kind: Literal["linear", "nonlinear"]) -> None:
        super().__init__()
        self.first = StackedLinear(layers, inputs, width if kind == "linear" else inputs)
        self.second = StackedLinear(layers, inputs, width) if kind == "nonlinear" else None

    def forward(self, states: Tensor) -> Tensor:
        """``[layers, rows, inputs]`` to ``[layers, rows, width]``."""
        through: Tensor = self.first(states)
        return through if self.second is None else self.second(functional.gelu(through))

    def freeze(self) -> None:
        """Turn parameters into buffers: nothing trains them any more."""
        for module in self.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, value.detach().clone())


class TaskHeads(nn.Module):
    """A pooler (linear, tanh) and a classification head behind each filter; used in stage 1 and thrown away."""

    def __init__(self, layers: int, width: int, classes: int) -> None:
        super().__init__()
        self.pooler = StackedLinear(layers, width, width)
        self.head = StackedLinear(layers, width, classes)

    def forward(self, filtered: Tensor) -> Tensor:
        """``[layers, rows, width]`` to logits ``[layers, rows, classes]``."""
        logits: Tensor = self.head(torch.tanh(self.pooler(filtered)))
        return logits


def task_loss(filters: Filters, heads: TaskHeads, states: Tensor, labels: Tensor) -> Tensor:
    """Stage 1: cross-entropy of ``labels [rows]`` behind each filter, averaged over rows and filters.

    ``states`` is ``[layers, rows, inputs]``: what each layer holds where the classification head reads.
    """
    logits = heads(filters(states))
    return functional.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)))
