"""What a checkpoint's ``config.json`` tells of its size before it is loaded; no torch, for ``codrun plan`` asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cod_runner.api import ModelShape, ShapeEstimate
from codrun_transformers.identity import local_folder
from codrun_transformers.options import StudentOptions, TeacherOptions

_WIDTH = ("hidden_size", "dim", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")
"""What architectures call the same thing in their configurations."""


def of_model(options: TeacherOptions | StudentOptions, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
    """Layers, width and longest input; None for a hub model that was never fetched, and for what is cut from it."""
    if options.model is None:
        assert isinstance(options, StudentOptions)
        assert options.layers_from_teacher is not None  # the options' validator sees to it
        if teacher is None:
            return None
        blocks, longest = len(options.layers_from_teacher), min(options.max_length, teacher.longest)
        return ShapeEstimate(ModelShape(blocks, teacher.shape.width, classes=0), longest)
    config = _config(options.model, options.revision)
    width, layers = _number(config, _WIDTH), _number(config, _LAYERS)
    if width is None or layers is None:
        return None
    if options.layers is not None:
        layers = options.layers if isinstance(options.layers, int) else len(options.layers)
    longest = min(options.max_length, _number(config, _POSITIONS) or options.max_length)
    return ShapeEstimate(ModelShape(layers, width, classes=0), longest)


def _config(model: str, revision: str | None) -> dict[str, Any]:
    """The checkpoint's configuration; empty where it is not on this machine or cannot be read."""
    folder = local_folder(model)
    path = folder / "config.json" if folder is not None else _in_the_cache(model, revision)
    if path is None:
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _in_the_cache(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # 0.2 s, for hub names alone

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
