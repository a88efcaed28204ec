"""Finds and reads a checkpoint's files: safetensors only, no code from the hub, one sentence per fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from cod_runner.api import BuildContext, CodrunError, hub_errors, quiet_transformers
from codrun_transformers.identity import local_folder

SECONDS_TO_ANSWER = 5.0
"""How long the hub may take to answer the first request; downloads may take longer."""
FILES = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "model*.safetensors"]
NOT_FILES = ["*/*", "*.fp16*", "*.bf16*", "*.fp32*"]


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
    """The checkpoint's folder; a hub model is fetched first, or taken from the hub's cache if the run is offline or
    the hub does not answer. Raises :class:`CodrunError` within seconds if neither has it."""
    folder = local_folder(name)
    if folder is not None:
        return folder
    unreachable = (
        "this run is offline" if context.offline or huggingface_hub.constants.HF_HUB_OFFLINE else _why_unreachable()
    )
    try:
        if unreachable is None and not _in_cache(name, revision):
            context.say(f"fetching the model `{name}` from the hub")
        return Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision,
                allow_patterns=FILES,
                ignore_patterns=NOT_FILES,
                local_files_only=unreachable is not None,
            )
        )
    except LocalEntryNotFoundError as error:
        raise CodrunError(
            f"the model `{name}` is not available: {unreachable or 'the hub did not answer'}, and it is not in the "
            "hub's cache on this machine; name a local folder or a `package:` instead"
        ) from error
    except GatedRepoError as error:
        raise CodrunError(f"the model `{name}` is gated; accept its terms on the hub and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise CodrunError(f"the hub has no model `{name}` (a private one needs HF_TOKEN)") from error
    except (*hub_errors(), ValueError) as error:
        raise CodrunError(f"the model `{name}` cannot be fetched: {_first_line(error)}") from error


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
    _refuse_pickles(folder, name)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet_transformers(), torch.random.fork_rng():
            torch.manual_seed(seed)
            config = AutoConfig.from_pretrained(folder, **local)
            if config.is_encoder_decoder:
                raise CodrunError(f"`{name}` is an encoder-decoder; use an encoder or a decoder")
            own = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
            config.num_labels = classes or config.num_labels
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                attn_implementation=attention,
                device_map=device_map,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **local,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, SafetensorError) as error:
        raise CodrunError(f"the model `{name}` cannot be loaded: {_first_line(error)}") from error
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


def _refuse_pickles(folder: Path, name: str) -> None:
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".h5"))
        found = f"only {', '.join(pickles)}, which can run code" if pickles else "no weights at all"
        raise CodrunError(
            f"`{name}` has no safetensors weights ({found}); choose a model or revision that has `model.safetensors`"
        )


def _why_unreachable() -> str | None:
    """Why the hub cannot be reached, after one request without retries; None if it answers, even with an error."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=SECONDS_TO_ANSWER)
    except hub_errors() as error:
        return f"the hub cannot be reached ({_first_line(error)})"
    return None


def _in_cache(name: str, revision: str | None) -> bool:
    return isinstance(huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision), str)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
