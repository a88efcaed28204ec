"""Pooling: padding never counts, and what is pooled is what it says."""

from __future__ import annotations

import torch

from cod_runner.api import head_pooled, masked_mean, pooled

STATES = torch.arange(24.0).reshape(2, 4, 3)


def test_the_mean_is_of_real_tokens_whichever_side_is_padded() -> None:
    mask = torch.tensor([[True, True, False, False], [False, True, True, True]])
    wanted = torch.stack([STATES[0, :2].mean(0), STATES[1, 1:].mean(0)])
    broken = STATES.masked_fill(~mask[:, :, None], float("nan"))
    assert torch.equal(masked_mean(broken, mask), wanted)
    assert torch.equal(masked_mean(broken, mask.long()), wanted)
    assert torch.equal(masked_mean(broken[..., 0], mask), wanted[:, 0])
    layers = torch.stack([broken, 2 * broken])
    assert torch.equal(masked_mean(layers, mask, dim=2), torch.stack([wanted, 2 * wanted]))


def test_without_a_mask_every_token_counts_and_without_a_token_the_mean_is_0() -> None:
    assert torch.equal(masked_mean(STATES, None), STATES.mean(1))
    assert torch.equal(masked_mean(STATES, torch.zeros(2, 4, dtype=torch.bool)), torch.zeros(2, 3))


def test_the_head_reads_one_position_per_row() -> None:
    assert torch.equal(head_pooled(STATES, torch.tensor([0, 3])), torch.stack([STATES[0, 0], STATES[1, 3]]))


def test_a_head_without_a_position_reads_the_mean() -> None:
    mask = torch.tensor([[True, True, False, False], [False, True, True, True]])
    mean = masked_mean(STATES, mask)
    assert torch.equal(head_pooled(STATES, None, mask), mean)
    assert torch.equal(pooled(STATES, mask, None, "cls"), mean)
    assert torch.equal(pooled(STATES, mask, torch.tensor([0, 3]), "mean"), mean)
    assert torch.equal(pooled(STATES, mask, torch.tensor([0, 3]), "cls"), head_pooled(STATES, torch.tensor([0, 3])))
