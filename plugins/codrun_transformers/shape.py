"""Reads a model's size from its ``config.json``, without loading it; no torch, because ``codrun plan`` calls it."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import ModelShape, ShapeEstimate, checkpoint_sizes

BYTES_A_NUMBER = 4
"""Teachers that were fine-tuned, and students, are saved as float32."""


def of_checkpoint(
    model: str, revision: str | None, layers: int | Sequence[int] | None, max_length: int
) -> ShapeEstimate | None:
    """Size and longest input of the checkpoint with ``layers`` of its blocks (None: all of them) and inputs truncated
    to ``max_length`` tokens; None for a hub model that was never fetched."""
    sizes = checkpoint_sizes(model, revision)
    if sizes is None:
        return None
    chosen = range(1, sizes.layers + 1) if layers is None else layers
    chosen = range(1, chosen + 1) if isinstance(chosen, int) else chosen
    shape = ModelShape(len(chosen), sizes.width, classes=0)
    longest = min(max_length, sizes.positions or max_length)
    if sizes.blocks is None:
        return ShapeEstimate(shape, longest, architecture=sizes.architecture)
    kept = [sizes.blocks[block - 1] for block in chosen if block <= sizes.layers]
    return ShapeEstimate(
        shape,
        longest,
        bytes=BYTES_A_NUMBER * (sizes.rest + sum(kept)) + sizes.tokenizer,
        block_bytes=BYTES_A_NUMBER * max(sizes.blocks),
        architecture=sizes.architecture,
    )


def cut_from(teacher: ShapeEstimate, blocks: int, max_length: int) -> ShapeEstimate:
    """The teacher with ``blocks`` of its blocks."""
    size = None
    if teacher.bytes is not None and teacher.block_bytes is not None:
        size = teacher.bytes - (teacher.shape.layers - blocks) * teacher.block_bytes
    shape = ModelShape(blocks, teacher.shape.width, classes=0)
    return ShapeEstimate(shape, min(max_length, teacher.longest), size, teacher.block_bytes, teacher.architecture)
