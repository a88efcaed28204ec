"""Mixtures of two texts: their input embeddings, mixed position by position.

As MixKD does (Liang et al., arXiv 2011.00593, section 3.1), the shorter text is padded to the longer's length, and the
mixture has as many tokens as the longer, all of them attended to: what the shorter lacks is its padding token. The
position that the classification head reads is mixed of the two texts' own, so models that read the last token pad the
shorter text in front, on whichever side they pad a batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cod_runner.api import Encoded
from codrun_transformers.architecture import position_before_the_first, reads_last_token
from codrun_transformers.pooling import PooledEncoder

SECOND_IDS, SHARE = "second_ids", "share"
"""Entries of a batch that holds a mixture: the second texts' token ids, beside ``input_ids``, and the first ones'
shares, ``[batch]``. A plain text is mixed with itself, of which nothing can be seen."""
_MIXED = "mixed"


def mixed(first: Encoded, second: Encoded, share: float, padding: int, *, pad_in_front: bool) -> Encoded:
    """One encoding of both. Its ``ids`` are not the vocabulary's, and equal only where both texts' are."""
    longer = first if len(first.ids) >= len(second.ids) else second
    one, other = (_padded(each.ids, len(longer.ids), padding, pad_in_front) for each in (first, second))
    names = tuple(-1 - (zlib.crc32(f"{here} {there}".encode()) >> 1) for here, there in zip(one, other, strict=True))
    return Encoded(names, {**longer.fields, _MIXED: (one, other, share)})


def parts_of(encoded: Encoded) -> tuple[Sequence[int], Sequence[int], float]:
    """Token ids of the first and the second text, of equal length, and the first's share."""
    parts: tuple[Sequence[int], Sequence[int], float] = encoded.fields.get(_MIXED, (encoded.ids, encoded.ids, 1.0))
    return parts


def is_mixed(encoded: Encoded) -> bool:
    """Whether this is an encoding of two texts."""
    return _MIXED in encoded.fields


def real_ids(batch: Mapping[str, Tensor], padding: int) -> Tensor:
    """Token ids in which only what the batch was padded with is padding: where one text of a mixture has ended, those
    of the other."""
    ids = batch["input_ids"]
    return ids if SECOND_IDS not in batch else torch.where(ids == padding, batch[SECOND_IDS], ids)


def logits_of_mixtures(model: Any, batch: Mapping[str, Tensor], pooled_at: Tensor | None) -> Tensor:
    """``[batch, classes]`` of a batch that holds a mixture; those of its plain texts are what they are without it."""
    rest = {name: value for name, value in batch.items() if name not in ("input_ids", SECOND_IDS, SHARE)}
    embeddings = _mixed_embeddings(model.get_input_embeddings(), batch["input_ids"], batch[SECOND_IDS], batch[SHARE])
    before = position_before_the_first(model)
    if before is not None:  # such a model numbers positions by the ids, which it is not given
        counted = (real_ids(batch, before) != before).int()
        rest["position_ids"] = (counted.cumsum(dim=1) * counted).long() + before
    if isinstance(model, PooledEncoder) or not reads_last_token(model):
        logits: Tensor = model(inputs_embeds=embeddings, **rest).logits
        return logits
    # A decoder's own head that reads the last token finds it by the ids.
    assert pooled_at is not None
    scores: Tensor = model.score(model.base_model(inputs_embeds=embeddings, **rest)[0])
    return scores[torch.arange(len(scores), device=scores.device), pooled_at.to(scores.device)]


def _mixed_embeddings(embedding: nn.Module, ids: Tensor, second_ids: Tensor, share: Tensor) -> Tensor:
    """``[batch, tokens, width]``; exactly a text's own where its share is 1 or it is mixed with itself."""
    first, second = embedding(ids), embedding(second_ids)
    weight = share.to(first)[:, None, None]
    return torch.where((ids == second_ids)[..., None].to(first.device), first, weight * first + (1 - weight) * second)


def _padded(ids: Sequence[int], length: int, padding: int, in_front: bool) -> tuple[int, ...]:
    filling = (padding,) * (length - len(ids))
    return (*filling, *ids) if in_front else (*ids, *filling)
