"""What a teacher said, as training and evaluation read it, whichever file it is in."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cod_runner.api import Input, Mixture, ModelShape
from cod_runner.engine.hidden_files import HiddenFiles
from cod_runner.engine.outputs import Row


def input_key(value: Input) -> bytes:
    """16 bytes that name an input's content."""
    if isinstance(value, str):
        spelled = f"t{value}"
    elif isinstance(value, Mixture):
        spelled = f"m{json.dumps([value.first, value.second, float(value.share)])}"
    else:
        spelled = f"v{tuple(map(float, value))!r}"
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).digest()[:16]


class Said(NamedTuple):
    """What the teacher said about one input, its hidden states apart."""

    logits: Tensor
    """``[classes]``, float32, on the CPU."""
    ids: tuple[int, ...]
    """The token ids that it read, one per position."""
    pooled_at: int
    """As of :class:`Row`."""


class TeacherSignals(ABC):
    """One teacher's signals, computed before anything trains."""

    def __init__(self, labels: tuple[str, ...], shape: ModelShape, hidden: HiddenFiles) -> None:
        self.labels, self.shape, self.hidden = labels, shape, hidden

    @abstractmethod
    def said(self, keys: Sequence[bytes]) -> list[Said]:
        """Of the inputs with these keys, in their order; raises :class:`CodrunError` where one was never asked about
        or what is stored of it is damaged."""

    def logits(self, inputs: Sequence[Input]) -> Tensor:
        """``[inputs, classes]``, float32, on the CPU."""
        if not inputs:
            return torch.empty(0, self.shape.classes)
        return torch.stack([said.logits for said in self.said([input_key(value) for value in inputs])])

    def ids(self, value: Input) -> tuple[int, ...]:
        """The teacher's token ids of an input, one per position."""
        return self.said([input_key(value)])[0].ids

    def rows(self, inputs: Sequence[Input], layers: Sequence[int] = ()) -> list[Row]:
        """The signals of each input; the hidden states of these layers stay on the disk until a batch needs them."""
        keys = [input_key(value) for value in inputs]
        return [
            Row(said.logits, self.hidden.states(key, layers, len(said.ids)), len(said.ids), said.pooled_at)
            for key, said in zip(keys, self.said(keys), strict=True)
        ]
