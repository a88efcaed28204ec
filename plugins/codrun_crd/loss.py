"""Contrastive representation distillation (Tian, Krishnan and Isola, arXiv 1910.10699, section 3.1), for few texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cod_runner.api import Batch, Binding, BuildContext, Outputs, pooled
from codrun_crd.plugin import CRDOptions


class CRD(nn.Module):
    """-log of the share of the text's own among exp(cos(g_s(s), g_t(t)) / temperature), over its teacher vector t and
    those of its negatives; g_s and g_t are linear maps that train with the student and are thrown away after it.

    The paper has thousands of negatives from a memory of stale projections, on both sides, and the binary NCE with its
    estimate of the noise. A training set here is so small that all of it is looked at in each step, projected anew by
    today's g_t: nothing is stale or sampled, so the softmax over them (InfoNCE) needs no estimate. The teacher's half
    of the paper's sum, which tells students' vectors apart by a teacher's, is left out: it would need the student's
    word on the whole set in every step. The published code takes negatives of another gold label; here the teacher
    says which class a text is of, so that rows without a label take part.
    """

    vectors: Tensor
    """``[training rows, width]``: the teacher's."""
    classes: Tensor
    """``[training rows]``: as the teacher reads them."""

    def __init__(self, options: CRDOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        self.learning_rate = options.learning_rate
        self._row_of: dict[str, int] = {}
        self._ours = self._theirs = 0

    def bind(self, binding: Binding) -> None:
        """Read the teacher's vector of every training row, and create the projections."""
        self._ours, self._theirs = self.options.mapping(binding.teacher, binding.student)
        self.student_map = nn.Linear(binding.student.width, self.options.dimensions)
        self.teacher_map = nn.Linear(binding.teacher.width, self.options.dimensions)
        vectors, classes = [], []
        for batch in binding.data.batches():
            signals = binding.data.signals(batch)
            for name in batch.ids:
                self._row_of[name] = len(self._row_of)
            vectors.append(self._pooled(signals, self._theirs))
            classes.append(signals.logits.argmax(-1))
        self.register_buffer("vectors", torch.cat(vectors).detach(), persistent=False)
        self.register_buffer("classes", torch.cat(classes), persistent=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """``[batch]``."""
        ours = self.student_map(self._pooled(student, self._ours))
        theirs = self.teacher_map(self.vectors)
        alike = functional.normalize(ours, dim=-1) @ functional.normalize(theirs, dim=-1).T
        own = torch.tensor([self._row_of[name] for name in batch.ids]).to(alike.device, non_blocking=True)
        scores = alike / self.options.temperature
        if self.options.negatives == "other_class":
            left_out = (self.classes[own][:, None] == self.classes[None]).scatter(1, own[:, None], False)
            scores = scores.masked_fill(left_out, float("-inf"))
        return functional.cross_entropy(scores, own, reduction="none")

    def _pooled(self, outputs: Outputs, layer: int) -> Tensor:
        return pooled(outputs.hidden[layer], outputs.mask, outputs.pooled_at, self.options.pool)
