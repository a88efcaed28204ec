"""What codrun must know about the inside of a sequence classifier, found without naming the architecture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from cod_runner.api import CodrunError
from codrun_transformers.pooling import PooledEncoder

UNLIMITED = 10**9
"""Tokenizers without a maximum length report a number above this."""


def blocks_of(model: Any) -> nn.ModuleList:
    """The list of the backbone's blocks: the shallowest ``ModuleList`` as long as the configuration says.

    Raises :class:`CodrunError` if there is none, as in models whose blocks share their weights.
    """
    lists = [
        (name.count("."), module)
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers
    ]
    if not lists:
        raise CodrunError(
            f"{type(model).__name__} has no list of {model.config.num_hidden_layers} blocks, so its hidden states and "
            "blocks cannot be selected; use losses on logits, and a student with its own checkpoint"
        )
    return min(lists, key=lambda found: found[0])[1]


def keep_blocks(model: Any, chosen: Sequence[int]) -> None:
    """Delete every block of ``model`` except the ``chosen`` ones, counted from 1."""
    blocks = blocks_of(model)
    _check_range(chosen, len(blocks))
    for index in reversed(range(len(blocks))):
        if index + 1 not in chosen:
            del blocks[index]
    _renumber(model, blocks, chosen)


def copy_of_blocks(model: Any, chosen: Sequence[int]) -> Any:
    """A copy of ``model`` with only the ``chosen`` blocks, and with its embeddings, norms and what its blocks share."""
    blocks = blocks_of(model)
    _check_range(chosen, len(blocks))
    memo: dict[int, Any] = {}
    memo[id(blocks)] = copied_blocks = nn.ModuleList(copy.deepcopy(blocks[block - 1], memo) for block in chosen)
    copied = copy.deepcopy(model, memo)
    for module in copied.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = False
    _renumber(copied, copied_blocks, chosen)
    return copied


def renew_head(model: Any, seed: int) -> None:
    """Reinitialise everything above the backbone, and its pooler, as the architecture does."""
    backbone = model.base_model
    parts = [module for module in model.children() if module is not backbone]
    if getattr(backbone, "pooler", None) is not None:
        parts.insert(0, backbone.pooler)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for part in parts:
            for module in part.modules():
                for parameter in module.parameters(recurse=False):
                    # transformers skips parameters that it has already initialised or loaded
                    parameter._is_hf_initialized = False
                model._init_weights(module)


def output_layer(model: Any) -> nn.Linear:
    """The linear layer that computes the logits; raises :class:`CodrunError` if there is none."""
    inside = set(map(id, model.base_model.modules()))
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and id(module) not in inside and module.out_features == model.config.num_labels
    ]
    if not layers:
        raise CodrunError(f"{type(model).__name__} has no linear output layer whose classes could be reordered")
    return layers[-1]


@torch.no_grad()
def reorder_classes(model: Any, order: Sequence[int]) -> None:
    """Row ``order[i]`` of the head becomes row i."""
    layer, rows = output_layer(model), torch.tensor(order)
    layer.weight.copy_(layer.weight[rows.to(layer.weight.device)].clone())
    if layer.bias is not None:
        layer.bias.copy_(layer.bias[rows.to(layer.bias.device)].clone())


def reads_last_token(model: Any) -> bool:
    """Whether the head reads the last real token, as decoders' heads do."""
    if isinstance(model, PooledEncoder):
        return model.pooling == "last"
    return isinstance(getattr(model, "score", None), nn.Linear)


def longest_input(model: Any) -> int:
    """The longest input that the model's positions allow, in tokens, including special tokens."""
    positions = _positions(model)
    if positions is not None and positions.padding_idx is not None:
        return positions.num_embeddings - positions.padding_idx - 1
    return int(getattr(model.config, "max_position_embeddings", None) or UNLIMITED)


def position_before_the_first(model: Any) -> int | None:
    """In RoBERTa and its relatives, which number the tokens that are not padding from the padding id + 1, that id."""
    positions = _positions(model)
    return positions.padding_idx if positions is not None else None


def _positions(model: Any) -> nn.Embedding | None:
    """The table of learned positions, where it is in the usual place."""
    embeddings = getattr(model.base_model, "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    return positions if isinstance(positions, nn.Embedding) else None


def set_dropout(model: Any, share: float) -> None:
    """Set every dropout, in the modules and in the configuration that is saved with them."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", share)  # noqa: B010 - a plain number, unknown to torch's stubs
    for name, value in model.config.to_dict().items():
        if "dropout" in name and (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
            setattr(model.config, name, share)


def _check_range(chosen: Sequence[int], blocks: int) -> None:
    if max(chosen) > blocks:
        raise CodrunError(f"block {max(chosen)} was asked for, but the model has {blocks} blocks, counted from 1")


def _renumber(model: Any, blocks: nn.ModuleList, chosen: Sequence[int]) -> None:
    """Make the configuration and the blocks' indices match the blocks that remain, so that the saved model loads."""
    types = getattr(model.config, "layer_types", None)
    model.config.num_hidden_layers = len(blocks)
    if types:
        model.config.layer_types = [types[block - 1] for block in chosen]
    for index, block in enumerate(blocks):
        for module in block.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = index  # type: ignore[assignment]
