"""Reads a model's size from its ``config.json``, without loading it; no torch, because ``codrun plan`` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cod_runner.api import ModelShape, ShapeEstimate, checkpoint_folder

_WIDTH = ("hidden_size", "dim", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")
"""Names that architectures use for the same setting."""


def of_checkpoint(
    model: str, revision: str | None, layers: int | Sequence[int] | None, max_length: int
) -> ShapeEstimate | None:
    """Layers, width and longest input of the checkpoint with ``layers`` of its blocks (None: all of them) and inputs
    truncated to ``max_length`` tokens; None for a hub model that was never fetched."""
    config = _config(model, revision)
    width, blocks = _number(config, _WIDTH), _number(config, _LAYERS)
    if width is None or blocks is None:
        return None
    if layers is not None:
        blocks = layers if isinstance(layers, int) else len(layers)
    longest = min(max_length, _number(config, _POSITIONS) or max_length)
    return ShapeEstimate(ModelShape(blocks, width, classes=0), longest)


def _config(model: str, revision: str | None) -> dict[str, Any]:
    """The checkpoint's configuration; empty if it is not on this machine or cannot be read."""
    folder = checkpoint_folder(model)
    path = folder / "config.json" if folder is not None else _in_the_cache(model, revision)
    if path is None:
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _in_the_cache(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # takes 0.2 s, needed only for hub names

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
