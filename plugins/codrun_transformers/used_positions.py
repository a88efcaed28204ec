"""DeBERTa's blocks, restricted to the positions that a batch has: `positions: used`.

transformers computes each block on padding too, and projects its whole table of relative positions (512 rows in
DeBERTa-v3) there, although two tokens of a text of n are at most n - 1 apart. Neither has an influence on a text or a
gradient, so here blocks compute on real tokens alone, and read the rows in use alone. Dropout draws what it draws
there, padding and all, and takes the part in use. What is left out changes the order in which sums are added up, and
with it the last bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DebertaV2Layer,
    DisentangledSelfAttention,
)

from cod_runner.api import SettingError


@dataclass(frozen=True)
class Layout:
    """Where the real tokens of a batch are; all blocks share it."""

    texts: int
    length: int
    """Of a text with its padding."""
    real: Tensor
    """The real tokens' places in the flattened batch, ``[real]``."""
    padding: Tensor
    """``[1, texts, 1, length]``, true where a text has no token."""
    apart: Tensor
    """``[length, length]``: the row, among those in use, for a query (first) and a key (second)."""
    span: int
    """How many tokens apart two may be in the rows in use, which are ``2 x span``."""

    def padded(self, states: Tensor, at: int) -> Tensor:
        """``states``, whose dimension ``at`` is the real tokens, with zeros in between: it becomes the flat batch."""
        shape = list(states.shape)
        shape[at] = self.texts * self.length
        return states.new_zeros(shape).index_copy_(at, self.real, states)


class UsedEncoder(DebertaV2Encoder):
    """Hands a :class:`Layout` to its blocks in the place of a mask."""

    def get_attention_mask(self, attention_mask: Tensor) -> Any:
        """``attention_mask``: ``[texts, length]``, 0 at padding."""
        texts, length = attention_mask.shape
        real = attention_mask.bool()
        table = self.rel_embeddings.num_embeddings // 2
        span = min(table, length)  # a bucket is never farther away than the tokens in it
        buckets = self.get_rel_pos(attention_mask.unsqueeze(-1))[0]
        return Layout(
            texts,
            length,
            real=real.flatten().nonzero().squeeze(1),
            padding=~real.view(1, texts, 1, length),
            apart=(buckets + span).clamp(0, 2 * span - 1),
            span=span,
        )


class UsedLayer(DebertaV2Layer):
    """Computes what its base class does, but for rounding; where there is padding it returns zeros."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Layout,
        query_states: None = None,
        relative_pos: Tensor | None = None,
        rel_embeddings: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, None]:
        """``hidden_states``: ``[texts, length, width]``. The layout has taken in ``relative_pos``."""
        layout = attention_mask
        states = hidden_states.flatten(0, 1).index_select(0, layout.real)
        attended = self.attention.self(states, layout, rel_embeddings)
        states = _added(self.attention.output, attended, states, layout)
        states = _added(self.output, self.intermediate(states), states, layout)
        return layout.padded(states, 0).view(layout.texts, layout.length, -1), None


def _added(output: Any, states: Tensor, residual: Tensor, layout: Layout) -> Tensor:
    """The end of both halves of a block; all states are ``[real, width]``."""
    states = output.dense(states)
    kept = _dropout_factors(output.dropout, (layout.texts * layout.length, states.shape[-1]), states)
    if kept is not None:
        states = states * kept.index_select(0, layout.real)
    normed: Tensor = output.LayerNorm(states + residual)
    return normed


def _dropout_factors(dropout: nn.Dropout, shape: tuple[int, ...], like: Tensor) -> Tensor | None:
    """What the base class multiplies its padded states of ``shape`` with; None where it drops nothing."""
    if not (dropout.training and dropout.p):
        return None
    return functional.dropout(like.new_ones(shape), dropout.p, inplace=True)


class UsedAttention(DisentangledSelfAttention):
    """Disentangled attention (DeBERTa, arXiv 2006.03654, equation 4) of real tokens.

    Linear layers see real tokens alone; queries, keys and values are then laid out as texts, ``[heads, texts x length,
    head's width]``, for attention stays within a text.
    """

    def forward(self, states: Tensor, layout: Layout, rel_embeddings: Tensor) -> Tensor:
        """``states`` and what is returned: ``[real, width]``; ``rel_embeddings``: the whole table."""
        texts, length, heads = layout.texts, layout.length, self.num_attention_heads
        table = self._table(rel_embeddings, layout)  # first, since its dropout is drawn first
        query, key, value = (
            layout.padded(self._by_head(project(states)), 1)
            for project in (self.query_proj, self.key_proj, self.value_proj)
        )
        scores = self._scores(query, key, table, layout)
        scores = scores.masked_fill(layout.padding, torch.finfo(scores.dtype).min)
        shares = functional.softmax(scores, dim=-1)
        kept = _dropout_factors(self.dropout, (texts, heads, length, length), shares)
        if kept is not None:
            shares = shares * kept.transpose(0, 1)
        context = torch.bmm(shares.view(-1, length, length), _of_texts(value, length)).view(heads, texts * length, -1)
        return context.index_select(1, layout.real).transpose(0, 1).flatten(1)

    def _scores(self, query: Tensor, key: Tensor, table: Tensor, layout: Layout) -> Tensor:
        """``[heads, texts, length, length]``: content to content, content to position, position to content."""
        texts, length = layout.texts, layout.length
        kinds = [kind for kind in ("c2p", "p2c") if kind in self.pos_att_type]
        scale = query.new_tensor(math.sqrt(self.attention_head_size * (1 + len(kinds))))
        content = torch.bmm(_of_texts(query, length), _of_texts(key, length).transpose(1, 2) / scale)
        scores = content.view(-1, texts, length, length)
        if "c2p" in kinds:
            project = self.key_proj if self.share_att_key else self.pos_key_proj
            rows = self._by_head(project(table)) / scale
            scores = scores + _picked(query, rows, layout.apart, texts)
        if "p2c" in kinds:
            project = self.query_proj if self.share_att_key else self.pos_query_proj
            rows = self._by_head(project(table)) / scale
            scores = scores + _picked(key, rows, layout.apart.t(), texts).transpose(-1, -2)
        return scores

    def _by_head(self, tensor: Tensor) -> Tensor:
        """``[rows, width]`` as ``[heads, rows, head's width]``."""
        return tensor.unflatten(-1, (self.num_attention_heads, -1)).transpose(0, 1)

    def _table(self, rel_embeddings: Tensor, layout: Layout) -> Tensor:
        """The rows in use, ``[2 x span, width]``; the middle one of the table stands for distance 0."""
        used = slice(self.pos_ebd_size - layout.span, self.pos_ebd_size + layout.span)
        kept = _dropout_factors(self.pos_dropout, tuple(rel_embeddings.shape), rel_embeddings)
        return rel_embeddings[used] if kept is None else rel_embeddings[used] * kept[used]


def _of_texts(tensor: Tensor, length: int) -> Tensor:
    """``[heads, texts x length, head's width]`` as ``[heads x texts, length, head's width]``."""
    return tensor.view(-1, length, tensor.shape[-1])


def _picked(states: Tensor, rows: Tensor, apart: Tensor, texts: int) -> Tensor:
    """``[heads, texts, length, length]``: the product of each of ``states`` with the row that ``apart`` names."""
    heads, length = len(states), len(apart)
    products = torch.bmm(states, rows.transpose(1, 2)).view(heads, texts, length, -1)
    return products.gather(-1, apart.expand(heads, texts, length, length))


USED: dict[type, Any] = {
    DebertaV2Encoder: UsedEncoder,
    DebertaV2Layer: UsedLayer,
    DisentangledSelfAttention: UsedAttention,
}


def read_used_positions(model: nn.Module) -> None:
    """Let every block of ``model`` compute only the positions in use. Raises :class:`SettingError` where it is none of
    DeBERTa-v2 or v3, with relative positions."""
    encoders = [module for module in model.modules() if type(module) is DebertaV2Encoder]
    if not (encoders and all(encoder.relative_attention for encoder in encoders)):
        raise SettingError(
            f"`positions: used` is for DeBERTa-v2 and v3, and this model is a {type(model).__name__}; omit it",
            "positions",
        )
    for module in model.modules():
        if type(module) in USED:
            module.__class__ = USED[type(module)]
