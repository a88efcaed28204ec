"""Self-attention relations (Wang et al., MiniLM, arXiv 2002.10957, section 3; MiniLMv2, arXiv 2012.15828, section 3.1)
of hidden states."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, Outputs, masked_mean
from codrun_relations.plugin import RelationsOptions


class Relations(nn.Module):
    """KL(R_t || R_s), averaged over a text's real tokens, relation heads and layers.

    In each of ``heads`` equal parts of a layer's hidden states H, each ``[tokens, width / heads]``, the relations are
    R = softmax(H H^T / sqrt(width / heads)): for every token a distribution over the text's tokens, whatever the
    width, so that teacher and student need no projection between them. 0 for an input of one position.

    MiniLM relates what the contract does not show, a layer's values (and compares its attention), MiniLMv2 its
    queries, keys and values apart; here the layer's output stands for all of them. MiniLM distils on large
    unlabelled text before any task is known, here the texts are the few of the training set.
    """

    aligned = True
    alignment_hint = "take a teacher and a student with one tokenizer, or `lwd` with `pool: mean`"

    def __init__(self, options: RelationsOptions, context: BuildContext) -> None:
        super().__init__()
        self.options, self.heads = options, options.heads
        self.mapping: list[tuple[int, int]] = []

    def bind(self, binding: Binding) -> None:
        """Nothing to create: there are no parameters."""
        self.mapping = self.options.mapping(binding.teacher, binding.student)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        values = []
        for ours, theirs in self.mapping:
            here, there = student.hidden[ours], teacher.hidden[theirs]
            if here.shape[:2] != there.shape[:2]:
                raise CodrunError(f"relations met texts of unequal length on the two sides; {self.alignment_hint}")
            theirs_log, ours_log = self._relations(there, student.mask), self._relations(here, student.mask)
            apart = functional.kl_div(ours_log, theirs_log, reduction="none", log_target=True).sum(-1)
            values.append(masked_mean(apart.mean(1), student.mask))
        return torch.stack(values).mean(0)

    def _relations(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Log-probabilities ``[batch, heads, tokens, tokens]``: each token's relations to the text's real tokens."""
        parts = states.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = parts @ parts.transpose(-1, -2) / math.sqrt(parts.shape[-1])
        if mask is not None:
            # Far below every score, but finite: a difference of two infinities is no number.
            scores = scores.masked_fill(~mask.bool()[:, None, None], torch.finfo(scores.dtype).min / 2)
        return functional.log_softmax(scores, -1)
