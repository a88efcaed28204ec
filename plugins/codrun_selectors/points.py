"""Inputs as points, and distances between many of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from cod_runner.api import BuildContext, DataError, Selection, TextEncoder
from codrun_selectors.plugin import EmbeddedOptions

ROWS_AT_ONCE = 1024


class Points:
    """Texts at their embeddings of unit length, so that a distance is an angle; vectors as they are."""

    def __init__(self, options: EmbeddedOptions, context: BuildContext) -> None:
        self._options, self._context = options, context
        self._encoder: TextEncoder | None = None
        if any(isinstance(row.input, str) for row in context.pool):
            self._loaded()  # an encoder that is not there is said before anything is trained

    def of(self, selection: Selection) -> Tensor:
        """``[inputs, width]``, float32; how many texts were embedded is told, however often they have been before."""
        texts = [value for value in selection.inputs if isinstance(value, str)]
        if len(texts) < len(selection.inputs):
            return _of_vectors(selection)
        selection.embedded(len(texts))
        return torch.nn.functional.normalize(self._loaded().embed(texts, selection.progress))

    def _loaded(self) -> TextEncoder:
        """The encoder, which vectors do without."""
        if self._encoder is None:
            context = self._context
            self._encoder = TextEncoder(
                self._options.encoder,
                self._options.revision,
                max_length=self._options.max_length,
                device=context.device,
                offline=context.offline,
                store=context.store,
                say=context.say,
                option="encoder",
            )
        return self._encoder


def _of_vectors(selection: Selection) -> Tensor:
    vectors = [value for value in selection.inputs if isinstance(value, tuple)]
    if len(vectors) < len(selection.inputs):
        raise DataError("the pool holds texts and vectors, between which there is no distance; use a pool of one kind")
    return torch.tensor(vectors, dtype=torch.float32)


def squared_distances(points: Tensor, others: Tensor) -> Iterator[Tensor]:
    """``[rows, others]`` for some rows of ``points`` at a time, in their order."""
    lengths = others.square().sum(1)
    for rows in points.split(ROWS_AT_ONCE):
        yield (rows.square().sum(1, keepdim=True) + lengths - 2 * rows @ others.T).clamp(min=0)
