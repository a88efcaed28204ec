"""Reads a model's size from its ``config.json``, without loading it; no torch, because ``codrun plan`` calls it."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import ModelShape, ShapeEstimate, checkpoint_sizes


def of_checkpoint(
    model: str, revision: str | None, layers: int | Sequence[int] | None, max_length: int
) -> ShapeEstimate | None:
    """Layers, width and longest input of the checkpoint with ``layers`` of its blocks (None: all of them) and inputs
    truncated to ``max_length`` tokens; None for a hub model that was never fetched."""
    sizes = checkpoint_sizes(model, revision)
    if sizes is None:
        return None
    blocks = sizes.layers
    if layers is not None:
        blocks = layers if isinstance(layers, int) else len(layers)
    return ShapeEstimate(ModelShape(blocks, sizes.width, classes=0), min(max_length, sizes.positions or max_length))
