"""The exact vocabulary cut: train only the embedding rows that the training texts use.

An unused row has no gradient, so AdamW (or Adam without decay) changes it by weight decay alone: each step multiplies
it by ``1 - lr x decay``. Those factors are recorded and applied on exit, one after the other in float32, which gives
exactly the bits that the optimiser would have written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

DECAY_CHUNK = 1 << 16
"""Elements multiplied by all factors before the next chunk is read, so that they stay in the processor's cache."""


class EmbeddingCut:
    """Implements :class:`cod_runner.api.VocabularyCut` inside one ``nn.Embedding``.

    The embedding maps ids to rows itself, so that the model around it still sees the original ids. The small
    parameter stays the same object for the life of the cut: an optimiser built inside keeps its state when the
    cut is exited and entered again.
    """

    def __init__(self, embedding: nn.Embedding, ids: Iterable[int]) -> None:
        self._embedding = embedding
        self._table = embedding.weight
        self._padding_id = embedding.padding_idx
        used = set(ids) | (set() if self._padding_id is None else {self._padding_id})
        self._ids = torch.tensor(sorted(used), dtype=torch.long)
        self._small: nn.Parameter | None = None
        self._row_of = torch.empty(0, dtype=torch.long)
        self._hook: Any = None
        self._factors: list[float] = []

    @property
    def rows(self) -> int:
        """Number of rows that train."""
        return len(self._ids)

    def __enter__(self) -> EmbeddingCut:
        if self._hook is not None:
            raise RuntimeError("the vocabulary cut has already been entered")
        self._table = self._embedding.weight
        self._ids = self._ids.to(self._table.device)
        self._row_of = torch.full((len(self._table),), -1, dtype=torch.long, device=self._table.device)
        self._row_of[self._ids] = torch.arange(len(self._ids), device=self._table.device)
        self._swap_in()
        return self

    def __exit__(self, *exc: object) -> None:
        self._write_back()
        self._swap_out()

    def decayed(self, factor: float) -> None:
        """An optimiser step multiplied the embedding's group by ``factor``."""
        if factor != 1.0:
            self._factors.append(factor)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Restore the full, up-to-date table inside the block; the cut then continues with any weights loaded there."""
        self._write_back()
        self._swap_out()
        try:
            yield
        finally:
            self._swap_in()

    @torch.no_grad()
    def _swap_in(self) -> None:
        taken = self._table.detach()[self._ids]
        if self._small is None:
            self._small = nn.Parameter(taken)
        else:
            self._small.copy_(taken)
        self._embedding.weight = self._small
        if self._padding_id is not None:
            self._embedding.padding_idx = int(self._row_of[self._padding_id])
        self._hook = self._embedding.register_forward_pre_hook(self._to_rows)

    def _swap_out(self) -> None:
        self._hook.remove()
        self._hook = None
        self._embedding.weight = self._table
        self._embedding.padding_idx = self._padding_id

    @torch.no_grad()
    def _write_back(self) -> None:
        assert self._small is not None
        if self._factors:
            everything = self._table.detach().view(-1)
            for chunk in everything.split(DECAY_CHUNK if everything.device.type == "cpu" else len(everything)):
                for factor in self._factors:
                    chunk.mul_(factor)
            self._factors.clear()
        self._table[self._ids] = self._small.detach()

    def _to_rows(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ids, *others = arguments
        rows = self._row_of[ids]
        # On an accelerator the look-up itself fails on row -1; checking here would wait for the device each step.
        if rows.device.type == "cpu" and bool((rows < 0).any()):
            unseen = int(ids[rows < 0][0])
            raise RuntimeError(f"token id {unseen} is outside the vocabulary cut; evaluate inside `whole()`")
        return (rows, *others)


def cut_for(model: nn.Module, embedding: nn.Module, ids: Iterable[int]) -> EmbeddingCut | None:
    """The cut of ``embedding`` inside ``model`` to ``ids``, or None if it would not be exact or save nothing.

    None for a frozen table, one that another module shares, one whose rows are not updated by their own gradient
    alone (``max_norm``, ``scale_grad_by_freq``), a subclass with its own forward, and if every row is in use.
    """
    if type(embedding) is not nn.Embedding or not embedding.weight.requires_grad or embedding.weight.is_meta:
        return None
    if embedding.max_norm is not None or embedding.scale_grad_by_freq or embedding.sparse:
        return None
    sharing = [name for name, each in model.named_parameters(remove_duplicate=False) if each is embedding.weight]
    cut = EmbeddingCut(embedding, ids)
    return cut if len(sharing) == 1 and cut.rows < embedding.num_embeddings else None
