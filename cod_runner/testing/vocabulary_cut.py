"""The exact vocabulary cut in its plainest form: a reference for anyone who implements ``Classifier.compact``.

An untouched row of an embedding table has no gradient, so AdamW only ever multiplies it by 1 - rate x decay. The
table can therefore shrink to the rows in use, as long as those factors are applied to the others afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class CutEmbedding(nn.Embedding):
    """An embedding that can hold some of its rows alone; whoever calls it goes on using the original ids."""

    row_of: Tensor | None = None
    """``[vocabulary]``, the row of each id while the table is cut."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids if self.row_of is None else self.row_of[ids])


class EmbeddingCut:
    """Implements :class:`cod_runner.api.VocabularyCut` over one table."""

    def __init__(self, table: CutEmbedding, used: Sequence[int]) -> None:
        self._table, self._used = table, list(used)
        self._factors: list[float] = []

    def __enter__(self) -> EmbeddingCut:
        weight = self._table.weight
        self._full = weight.detach().clone()
        self._rows = torch.tensor(self._used, device=weight.device)
        self._row_of = torch.full((len(self._full),), -1, device=weight.device)
        self._row_of[self._rows] = torch.arange(len(self._rows), device=weight.device)
        self._small = nn.Parameter(self._full[self._rows], requires_grad=weight.requires_grad)
        self._shrink()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open()

    def decayed(self, factor: float) -> None:
        if self._small.requires_grad:
            self._factors.append(factor)

    @contextmanager
    def whole(self) -> Iterator[None]:
        self._open()
        try:
            yield
        finally:
            self._shrink()

    def _shrink(self) -> None:
        self._table.weight, self._table.row_of = self._small, self._row_of

    def _open(self) -> None:
        """Rows set aside take every factor since the last look, one after the other: rounding is not associative."""
        with torch.no_grad():
            for factor in self._factors:
                self._full.mul_(factor)
            self._factors.clear()
            self._full[self._rows] = self._small
        self._table.weight = nn.Parameter(self._full.clone(), requires_grad=self._small.requires_grad)
        self._table.row_of = None
