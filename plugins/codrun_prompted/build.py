"""Builds the teacher from its options."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from cod_runner.api import (
    BuildContext,
    LabelPrompt,
    SettingError,
    fetched_checkpoint,
    file_digests,
    only_data,
    pretrained,
)
from codrun_prompted.conversion import converted
from codrun_prompted.options import PromptedOptions
from codrun_prompted.rendering import Rendering
from codrun_prompted.scorer import Checkpoint, PromptedTeacher
from codrun_prompted.source import Source, located

BITS = {"8bit": "load_in_8bit", "4bit": "load_in_4bit"}


def build_teacher(options: PromptedOptions, context: BuildContext) -> PromptedTeacher:
    """The teacher; its files are found, and prompt and tokenizer checked, at once, and its weights read when it is
    first asked. Raises :class:`CodrunError`."""
    _refuse_unquantisable(options)
    name = options.model
    folder, content = _folder(options, context)
    with only_data(folder, name) as safely:
        config = AutoConfig.from_pretrained(folder, **safely)
        _refuse_other_models(config, name)
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
    if not tokenizer("a good film", add_special_tokens=False)["input_ids"]:
        raise SettingError(f"`{name}` has no tokenizer that reads text; name a folder that holds one", "model")
    dtype = _dtype(options.dtype, context.device)
    shots = [(shot.input, shot.hard_label) for shot in context.shots]
    prompt = LabelPrompt.of(options, context.labels, context.describe, shots)
    rendering = Rendering(tokenizer, prompt, form=options.form, max_length=options.max_length, name=name)

    def load() -> Any:
        with torch.random.fork_rng():
            model, _, _ = pretrained(
                AutoModelForCausalLM,
                folder,
                name,
                whole=True,
                dtype=dtype,
                **_quantised(options, dtype, context.device),
            )
        model.requires_grad_(False)
        return model.eval() if options.quantise != "none" else model.eval().to(context.device)

    checkpoint = Checkpoint(
        name,
        config,
        tokenizer,
        load,
        device=context.device,
        precision=dtype if options.quantise == "none" else options.quantise,
        decides={"model": content, "dtype": dtype, "quantise": options.quantise, "max_length": options.max_length},
    )
    return PromptedTeacher(
        checkpoint, rendering, context.labels, coverage_floor=options.coverage_floor, say=context.say
    )


def _folder(options: PromptedOptions, context: BuildContext) -> tuple[Path, Any]:
    """(folder of the checkpoint in safetensors, what identifies its content)."""
    source = located(options.model, options.gguf)
    if source.on_the_hub is not None:
        wanted = [source.on_the_hub] if source.on_the_hub else []
        fetched = fetched_checkpoint(
            options.model, options.revision, offline=context.offline, say=context.say, files=wanted
        )
        source = Source(options.model, folder=fetched)
        if wanted:
            file = fetched / wanted[0]
            if not file.is_file():
                raise SettingError(f"the hub's `{options.model}` has no file `{wanted[0]}`", "gguf")
            source = Source(options.model, files=(file,))
        elif not (fetched / "config.json").is_file():
            raise SettingError(
                f"the hub's `{options.model}` has no config.json; if it holds GGUF files, name one with `gguf:`",
                "model",
            )
    if source.is_gguf:
        return converted(source, context), {"gguf": source.digest}
    assert source.folder is not None
    return source.folder, {"files": file_digests(source.folder)}


def _dtype(named: str, device: str) -> str:
    """What ``auto`` is on this device."""
    if named != "auto":
        return named
    return "bfloat16" if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def _refuse_other_models(config: Any, name: str) -> None:
    """Any architecture can be read as another one, with what is missing drawn at random."""
    causal: set[str] = set()
    for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        causal.update([names] if isinstance(names, str) else names)
    said = list(config.architectures or [])
    if config.is_encoder_decoder or (said and not causal & set(said)):
        what = f"is a {said[0]}" if said else "is an encoder-decoder"
        raise SettingError(
            f"`{name}` {what}, not a causal language model; name one, such as `Qwen/Qwen2.5-0.5B-Instruct`", "model"
        )


def _refuse_unquantisable(options: PromptedOptions) -> None:
    if options.quantise == "none":
        return
    for library in ("bitsandbytes", "accelerate"):
        if importlib.util.find_spec(library) is None:
            raise SettingError(
                f"`quantise: {options.quantise}` needs the package `{library}`, which is not installed; "
                f"`pip install {library}`, or leave `quantise` out",
                "quantise",
            )


def _quantised(options: PromptedOptions, dtype: str, device: str) -> dict[str, Any]:
    """Arguments with which transformers quantises the weights as it reads them."""
    if options.quantise == "none":
        return {}
    from transformers import BitsAndBytesConfig

    compute = {"bnb_4bit_compute_dtype": getattr(torch, dtype)} if options.quantise == "4bit" else {}
    return {
        "quantization_config": BitsAndBytesConfig(**{BITS[options.quantise]: True}, **compute),
        "device_map": {"": device},
    }
