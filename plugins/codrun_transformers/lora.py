"""Low-rank adapters for fine-tuning a teacher, through peft: added here, merged into the weights on save."""

from __future__ import annotations

from typing import Any

import torch

from cod_runner.api import CodrunError
from codrun_transformers.options import LoraOptions


def add_adapters(model: Any, options: LoraOptions, seed: int) -> None:
    """Freeze the backbone of ``model`` and add adapters to its linear layers; head and pooler train in full.

    Raises :class:`CodrunError` if peft is not installed or knows no layers of the architecture.
    """
    try:
        import peft
    except ImportError as error:
        raise CodrunError('`lora` needs peft; run `pip install "codrun[peft]"`') from error
    config = peft.LoraConfig(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=options.targets,
    )
    pooler = getattr(model.base_model, "pooler", None)
    trained = {id(parameter) for parameter in (pooler.parameters() if pooler is not None else ())}
    inside = {id(parameter) for parameter in model.base_model.parameters()}
    trained |= {id(parameter) for parameter in model.parameters()} - inside
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            peft.inject_adapter_in_model(config, model)
    except ValueError as error:
        raise CodrunError(
            f"peft cannot add adapters to {type(model).__name__} ({str(error).splitlines()[0]}); name its linear "
            "layers in `lora.targets`"
        ) from error
    for parameter in model.parameters():
        if id(parameter) in trained:
            parameter.requires_grad_(True)


def merge_adapters(model: Any) -> bool:
    """Merge each adapter into the weights it adapts and remove it; False if there are none."""
    adapted = [(name, module) for name, module in model.named_modules() if hasattr(module, "get_base_layer")]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())
    if adapted:
        del model.peft_config
        model.requires_grad_(True)
    return bool(adapted)
