"""Finds a checkpoint and reads it as a classifier, with one sentence per fault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from cod_runner.api import BuildContext, CodrunError, checkpoint_folder, fetched_checkpoint, only_data
from codrun_transformers.pooling import PooledEncoder, is_causal
from codrun_transformers.sentence_folder import FILES, Pooling, SentenceFolder


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


def find_folder(name: str, revision: str | None, context: BuildContext, *, modules: bool = False) -> Path:
    """The checkpoint's folder, on this machine or fetched from the hub, with ``modules`` those of sentence-transformers
    too. Raises :class:`CodrunError`."""
    folder = checkpoint_folder(name)
    if folder is None:
        folder = fetched_checkpoint(name, revision, offline=context.offline, say=context.say)
        if modules:
            fetched_checkpoint(name, revision, offline=context.offline, say=context.say, files=FILES)
    return folder


def read_checkpoint(
    folder: Path,
    name: str,
    classes: int,
    *,
    seed: int,
    dtype: str = "float32",
    attention: str | None = None,
    device_map: str | dict[str, int | str] | None = None,
    pooling: Pooling | None = None,
    modules: SentenceFolder | None = None,
) -> Checkpoint:
    """Read model and tokenizer; a missing head is drawn from ``seed`` for ``classes`` classes (0: as many as the
    configuration says). With ``pooling`` the model is an encoder under it, with the head of ``modules`` where they have
    one, and otherwise with one of zeros. Raises :class:`CodrunError`."""
    kind = AutoModelForSequenceClassification if pooling is None else AutoModel
    with only_data(folder, name) as safely, torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(folder, **safely)
        if config.is_encoder_decoder:
            raise CodrunError(f"`{name}` is an encoder-decoder; use an encoder or a decoder")
        own = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
        config.num_labels = classes or config.num_labels
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
        model, found = kind.from_pretrained(
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
    prefix = "" if pooling is not None else f"{model.base_model_prefix}."
    checkpoint = _judged(model, tokenizer, own, name, found, prefix)
    if pooling is None:
        return checkpoint
    with only_data(folder, name):
        return _pooled(checkpoint, name, pooling, modules, classes or len(own))


def _pooled(
    checkpoint: Checkpoint, name: str, pooling: Pooling, modules: SentenceFolder | None, classes: int
) -> Checkpoint:
    """The encoder of a checkpoint under a pooling and a linear layer. Raises whatever a damaged layer leads to."""
    if pooling == "cls" and is_causal(checkpoint.model):
        raise CodrunError(f"`{name}` reads from left to right, so its first token knows no other; take `pooling: last`")
    place = modules.head if modules is not None else None
    model = PooledEncoder(
        checkpoint.model,
        pooling,
        classes if place is None else len(checkpoint.own_labels),
        normalises=modules is not None and place is not None and modules.normalises,
    )
    if place is not None:
        model.load_head(place)
    return replace(
        checkpoint,
        model=model,
        untrained_head=place is None,
        head_classes=None if place is None else model.head.out_features,
    )


def _judged(
    model: Any, tokenizer: Any, own: tuple[str, ...], name: str, found: dict[str, Any], prefix: str
) -> Checkpoint:
    """Accept a checkpoint without a head, but not one with an incomplete backbone, whose weights are named with
    ``prefix``."""
    if not tokenizer.is_fast:
        raise CodrunError(f"the tokenizer of `{name}` has no fast version, which word positions need")
    missing = set(found["missing_keys"])
    sizes = {key: shape for key, shape, _ in found["mismatched_keys"]}
    lost = sorted(key for key in missing | set(sizes) if key.startswith(prefix) and ".pooler." not in f".{key}")
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
    head_is_there = not any(not key.startswith(prefix) for key in missing)
    head_classes = (next(iter(sizes.values()))[0] if sizes else model.config.num_labels) if head_is_there else None
    return Checkpoint(model, tokenizer, own, bool(missing or sizes), head_classes)
