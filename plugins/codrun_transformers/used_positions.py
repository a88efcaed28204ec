"""DeBERTa's attention, restricted to the relative positions that a batch has.

transformers projects the whole table of relative positions (512 rows in DeBERTa-v3) in every block, and multiplies it
with every query and key of the batch; two tokens of a text of n are at most n - 1 apart, so a short text reads 2n - 1
of these rows. The others have no influence and no gradient. What is left out changes the order in which sums are added
up, and with it the last bits.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

from cod_runner.api import SettingError


class UsedPositions(DisentangledSelfAttention):  # type: ignore[misc]  # transformers has no types
    """Computes what its base class does, but for rounding."""

    def disentangled_attention_bias(
        self, query_layer: Tensor, key_layer: Tensor, relative_pos: Any, rel_embeddings: Tensor, scale_factor: int
    ) -> Any:
        """``[batch x heads, queries, keys]``; the table's middle row stands for distance 0."""
        span, tokens = self.pos_ebd_size, max(query_layer.shape[-2], key_layer.shape[-2])
        used = min(span, tokens)  # a bucket is never farther away than the tokens in it
        self.pos_ebd_size = used
        try:
            middle = rel_embeddings[span - used : span + used]
            return super().disentangled_attention_bias(query_layer, key_layer, relative_pos, middle, scale_factor)
        finally:
            self.pos_ebd_size = span


def read_used_positions(model: nn.Module) -> None:
    """Let every attention of ``model`` read only the positions in use. Raises :class:`SettingError` where there is none
    of DeBERTa-v2 or v3."""
    found = [module for module in model.modules() if type(module) is DisentangledSelfAttention]
    if not any(module.relative_attention for module in found):
        raise SettingError(
            f"`positions: used` is for DeBERTa-v2 and v3, and this model is a {type(model).__name__}; omit it",
            "positions",
        )
    for module in found:
        if module.relative_attention:
            module.__class__ = UsedPositions
