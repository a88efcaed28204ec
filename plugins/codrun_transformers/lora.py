"""Low-rank adapters for fine-tuning a teacher, through peft: put in place here, merged into the weights on save."""

from __future__ import annotations

from typing import Any

import torch

from cod_runner.api import CodrunError
from codrun_transformers.options import LoraOptions


def add_adapters(model: Any, options: LoraOptions, seed: int) -> None:
    """Freeze the backbone of ``model`` and give its linear layers adapters; head and pooler train as they are.

    Raises :class:`CodrunError` where peft is not installed or has no layers for the architecture.
    """
    try:
        import peft
    except ImportError as error:
        raise CodrunError('`lora` needs peft; `pip install "codrun[peft]"` brings it') from error
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
            f"peft puts no adapters into {type(model).__name__} ({str(error).splitlines()[0]}); name its linear "
            "layers in `lora.targets`"
        ) from error
    for parameter in model.parameters():
        if id(parameter) in trained:
            parameter.requires_grad_(True)


def merge_adapters(model: Any) -> bool:
    """Add each adapter to the weights it adapts and take it out; False where there are none."""
    adapted = [(name, module) for name, module in model.named_modules() if hasattr(module, "get_base_layer")]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())
    if adapted:
        del model.peft_config
        model.requires_grad_(True)
    return bool(adapted)
