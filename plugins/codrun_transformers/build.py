"""Builds teachers and students from their options."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, CodrunError, SettingError
from codrun_transformers.architecture import (
    UNLIMITED,
    copy_of_blocks,
    keep_blocks,
    longest_input,
    reads_last_token,
    renew_head,
    reorder_classes,
    set_dropout,
)
from codrun_transformers.checkpoint import find_folder, read_checkpoint
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.labels import head_order
from codrun_transformers.lora import add_adapters, merge_adapters
from codrun_transformers.options import ModelOptions, StudentOptions, TeacherOptions
from codrun_transformers.pooling import PooledEncoder, is_causal
from codrun_transformers.sentence_folder import MODULES, Asked, pooling_of


def build_teacher(options: TeacherOptions, context: BuildContext) -> TextClassifier:
    """The teacher, on the CPU (or where ``device_map`` puts it), in eval mode. Raises :class:`CodrunError`."""
    if options.device_map is not None:
        _refuse_device_map(context)
    teacher = _from_checkpoint(
        options.model,
        options,
        context,
        dtype=options.dtype,
        device_map=options.device_map,
        source=options.identity() if options.device_map is not None else None,
    )
    if options.lora is not None:
        add_adapters(teacher.model, options.lora, context.seed)
    return teacher.eval()


def _refuse_device_map(context: BuildContext) -> None:
    """Raise :class:`SettingError` where no teacher can be spread over devices."""
    if context.processes > 1:
        raise SettingError(
            "`device_map` spreads one teacher over the devices, and `processes` holds a whole one in each; drop one of "
            "them",
            "device_map",
        )
    if importlib.util.find_spec("accelerate") is None:
        raise SettingError(
            "`device_map` needs the package `accelerate`, which is not installed; "
            '`pip install "codrun[accelerate]"`, or leave `device_map` out',
            "device_map",
        )


def build_student(options: StudentOptions, context: BuildContext) -> TextClassifier:
    """The student, on the CPU, in eval mode. Raises :class:`CodrunError`."""
    if options.model is not None:
        student = _from_checkpoint(options.model, options, context)
    else:
        assert options.layers_from_teacher is not None  # checked by the options' validator
        student = _from_teacher(options.layers_from_teacher, options, context)
    if options.freeze_embeddings:
        student.model.get_input_embeddings().weight.requires_grad_(False)
    if options.positions == "used":
        from codrun_transformers.used_positions import read_used_positions  # imports an architecture

        read_used_positions(student.model)
    return student.eval()


def reopen_student(folder: Path, context: BuildContext) -> TextClassifier:
    """The student that ``save`` wrote into ``folder``, or any other classifier of transformers, or of
    sentence-transformers, with its own label names and length, in eval mode. Raises :class:`CodrunError`."""
    pooling: Asked | None = "auto" if (folder / MODULES).is_file() else None
    options = StudentOptions(model=str(folder.absolute()), max_length=UNLIMITED, pooling=pooling)
    silent = replace(context, labels=(), say=lambda sentence: None)  # its length is the one that it was saved with
    student = _from_checkpoint(str(folder.absolute()), options, silent)
    if student.untrained_head:
        raise CodrunError(f"{folder} holds a model without a trained classification head, so it is not a student")
    return student.eval()


def _from_checkpoint(
    name: str,
    options: ModelOptions,
    context: BuildContext,
    *,
    dtype: str = "float32",
    device_map: str | dict[str, int | str] | None = None,
    source: dict[str, Any] | None = None,
) -> TextClassifier:
    folder = find_folder(name, options.revision, context, modules=options.pooling is not None)
    pooling, modules = (None, None) if options.pooling is None else pooling_of(folder, name, options.pooling)
    if options.pooling == "auto" and modules is not None:
        others = f", without the {' and '.join(modules.left_out)} behind it" if modules.left_out else ""
        context.say(f"`{name}` says in {modules.place} how it pools, and is believed: {pooling}{others}")
    found = read_checkpoint(
        folder,
        name,
        len(context.labels),
        seed=context.seed,
        dtype=dtype,
        attention=options.attention,
        device_map=device_map,
        pooling=pooling,
        modules=None if options.new_head else modules,
    )
    model, untrained = found.model, found.untrained_head
    labels: Sequence[str] = context.labels or found.own_labels
    if options.layers is not None:
        chosen = list(range(1, options.layers + 1)) if isinstance(options.layers, int) else options.layers
        keep_blocks(model, chosen)
    if options.new_head or (pooling is not None and untrained):
        renew_head(model, context.seed)
        untrained = True
    elif found.head_classes is not None and context.labels:
        order = head_order(found.own_labels, labels, options.label_map, name, context.say)
        if order != list(range(len(labels))):
            reorder_classes(model, order)
    if options.dropout is not None:
        set_dropout(model, options.dropout)
    tokenizer = found.tokenizer
    length = _prepare(tokenizer, model, name, options, context)
    return TextClassifier(model, tokenizer, labels, length, untrained_head=untrained, source=source)


def _from_teacher(chosen: Sequence[int], options: StudentOptions, context: BuildContext) -> TextClassifier:
    """The teacher's chosen blocks, embeddings and final norm, with a pooler and head drawn from ``context.seed``."""
    teacher = context.teacher() if context.teacher is not None else None
    if not isinstance(teacher, TextClassifier):
        raise CodrunError("`layers_from_teacher` needs a teacher with `use: transformers`; this one is of another kind")
    if getattr(teacher.model, "hf_device_map", None) is not None:
        raise CodrunError("`layers_from_teacher` cannot copy a teacher that `device_map` spreads over devices")
    model = copy_of_blocks(teacher.model, chosen).float().cpu()
    merge_adapters(model)
    if options.pooling is not None:
        model = _pooled_as_asked(model, options.pooling, len(context.labels or teacher.labels))
    model.requires_grad_(True)
    renew_head(model, context.seed)
    if options.dropout is not None:
        set_dropout(model, options.dropout)
    tokenizer = copy.deepcopy(teacher.tokenizer)
    length = _prepare(tokenizer, model, "the teacher", options, context)
    return TextClassifier(model, tokenizer, context.labels or teacher.labels, length, untrained_head=True)


def _pooled_as_asked(model: Any, asked: Asked, classes: int) -> PooledEncoder:
    """The backbone of a copied teacher under a pooling; ``auto`` is the teacher's own."""
    own = model.pooling if isinstance(model, PooledEncoder) else None
    pooling = own if asked == "auto" else asked
    if pooling is None:
        raise SettingError(
            "`pooling: auto` takes the teacher's, which has a head of its class and no pooling; say `pooling: mean`, "
            "`cls` or `last`",
            "pooling",
        )
    if pooling == "cls" and is_causal(model.base_model):
        raise SettingError("the teacher reads from left to right, so its first token knows no other", "pooling")
    return PooledEncoder(model.base_model, pooling, classes)


def _prepare(tokenizer: Any, model: Any, name: str, options: ModelOptions, context: BuildContext) -> int:
    """Set padding in tokenizer and configuration, as the saved model will have it; return the maximum length."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise CodrunError(f"the tokenizer of `{name}` has neither a padding nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False  # nothing is generated, and gradient checkpointing warns about it
    tokenizer.truncation_side = "right"
    if not reads_last_token(model):
        if options.padding_side == "left":
            read = "the mean of its tokens" if getattr(model, "pooling", None) == "mean" else "its first token"
            raise CodrunError(f"`{name}` reads {read}, so it must be padded on the right; drop `padding_side`")
        tokenizer.padding_side = "right"
    elif options.padding_side is not None:
        tokenizer.padding_side = options.padding_side
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or not limit >= 2:
        raise CodrunError(
            f"the tokenizer_config.json of `{name}` says `model_max_length: {limit!r}`; fetch or copy the model "
            "again, or write the number of tokens that it reads"
        )
    possible = int(min(longest_input(model), limit))
    if options.max_length > possible:
        context.say(f"`{name}` reads at most {possible} tokens; `max_length: {options.max_length}` is reduced to that")
    return min(options.max_length, possible)
