"""Outputs of a batch taken apart into unpadded rows, one an example, and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cod_runner.api import Outputs


@dataclass(frozen=True)
class Row:
    """What a classifier says about one input, real tokens only, on the CPU."""

    logits: Tensor
    """``[classes]``, float32."""
    hidden: Mapping[int, Tensor]
    """Layer number to ``[tokens, width]``, float32."""
    tokens: int
    pooled_at: int
    """The token that the classification head reads, counted among the real ones."""

    @property
    def nbytes(self) -> int:
        """Bytes of the hidden states."""
        return sum(states.nbytes for states in self.hidden.values())


def unpadded(outputs: Outputs, rows: int) -> list[Row]:
    """The first ``rows`` rows of a batch, copied to the CPU without their padding, wherever it stands."""
    logits = outputs.logits[:rows].float().cpu()
    hidden = {layer: states[:rows].float().cpu() for layer, states in outputs.hidden.items()}
    width = next((states.shape[1] for states in hidden.values()), 1)
    mask = torch.ones(rows, width, dtype=torch.bool) if outputs.mask is None else outputs.mask[:rows].bool().cpu()
    places = [0] * rows if outputs.pooled_at is None else outputs.pooled_at[:rows].tolist()
    taken = []
    for row in range(rows):
        real = mask[row]
        taken.append(
            Row(
                logits[row].clone(),
                {layer: states[row][real] for layer, states in hidden.items()},
                int(real.sum()),
                int(real[: places[row]].sum()),
            )
        )
    return taken


def padded(rows: Sequence[Row], layers: Sequence[int], device: str) -> Outputs:
    """Rows as one batch, padded on the right with zeros, on ``device``."""
    longest = max(row.tokens for row in rows)
    lengths = torch.tensor([row.tokens for row in rows])
    outputs = Outputs(
        logits=torch.stack([row.logits for row in rows]).to(device, non_blocking=True),
        mask=(torch.arange(longest) < lengths[:, None]).to(device, non_blocking=True),
        pooled_at=torch.tensor([row.pooled_at for row in rows]).to(device, non_blocking=True),
    )
    for layer in layers:
        states = torch.zeros(len(rows), longest, rows[0].hidden[layer].shape[-1])
        for place, row in enumerate(rows):
            states[place, : row.tokens] = row.hidden[layer]
        outputs.hidden[layer] = states.to(device, non_blocking=True)
    return outputs


def laid_out_as(teacher: Outputs, mask: Tensor) -> Outputs:
    """Move right-padded teacher states to the positions where ``mask`` (``[batch, tokens]``) has real tokens.

    For losses that compare positions while the student pads on the left. Both sides must have the same number of
    real tokens in every row. Positions of padding hold arbitrary states. No wait for the device.
    """
    position = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    moved = {
        layer: states.gather(1, position[:, :, None].expand(-1, -1, states.shape[-1]))
        for layer, states in teacher.hidden.items()
    }
    pooled_at = teacher.pooled_at
    if pooled_at is not None:
        # The place of the n-th real token: how many positions have seen at most n real tokens before them.
        pooled_at = ((mask.long().cumsum(dim=1) - 1) < pooled_at[:, None]).sum(dim=1)
    return Outputs(teacher.logits, moved, mask, pooled_at)
