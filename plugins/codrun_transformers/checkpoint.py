"""Finds a checkpoint and reads it as a classifier, with one sentence per fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from cod_runner.api import BuildContext, CodrunError, checkpoint_folder, fetched_checkpoint, only_data


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, loaded from its folder."""

    model: Any
    tokenizer: Any
    own_labels: tuple[str, ...]
    untrained_head: bool
    """The checkpoint has no classification head, or one of another size."""
    head_classes: int | None
    """Number of classes of the checkpoint's head; None if it has no head."""


def find_folder(name: str, revision: str | None, context: BuildContext) -> Path:
    """The checkpoint's folder, on this machine or fetched from the hub. Raises :class:`CodrunError`."""
    return checkpoint_folder(name) or fetched_checkpoint(name, revision, offline=context.offline, say=context.say)


def read_checkpoint(
    folder: Path,
    name: str,
    classes: int,
    *,
    seed: int,
    dtype: str = "float32",
    attention: str | None = None,
    device_map: str | dict[str, int | str] | None = None,
) -> Checkpoint:
    """Read model and tokenizer; a missing head is drawn from ``seed`` for ``classes`` classes (0: as many as the
    configuration says). Raises :class:`CodrunError`."""
    with only_data(folder, name) as safely, torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(folder, **safely)
        if config.is_encoder_decoder:
            raise CodrunError(f"`{name}` is an encoder-decoder; use an encoder or a decoder")
        own = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
        config.num_labels = classes or config.num_labels
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            attn_implementation=attention,
            device_map=device_map,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **safely,
        )
    model.config._name_or_path = name
    return _judged(model, tokenizer, own, name, found)


def _judged(model: Any, tokenizer: Any, own: tuple[str, ...], name: str, found: dict[str, Any]) -> Checkpoint:
    """Accept a checkpoint without a head, but not one with an incomplete backbone."""
    if not tokenizer.is_fast:
        raise CodrunError(f"the tokenizer of `{name}` has no fast version, which word positions need")
    backbone = f"{model.base_model_prefix}."
    missing = set(found["missing_keys"])
    sizes = {key: shape for key, shape, _ in found["mismatched_keys"]}
    lost = sorted(key for key in missing | set(sizes) if key.startswith(backbone) and ".pooler." not in key)
    if lost:
        raise CodrunError(
            f"`{name}` lacks {len(lost)} weights of a {type(model).__name__}, such as `{lost[0]}`; its "
            "configuration and weights do not belong together"
        )
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise CodrunError(
            f"the tokenizer of `{name}` has {len(tokenizer)} ids, but its embedding table has {rows} rows"
        )
    head_is_there = not any(not key.startswith(backbone) for key in missing)
    head_classes = (next(iter(sizes.values()))[0] if sizes else model.config.num_labels) if head_is_there else None
    return Checkpoint(model, tokenizer, own, bool(missing or sizes), head_classes)
