"""A sequence classifier of ``transformers`` as a codrun classifier."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from cod_runner.api import (
    Attribution,
    CodrunError,
    Encoded,
    Input,
    Mixture,
    ModelShape,
    Outputs,
    VocabularyCut,
    quiet_transformers,
    text_distance,
)
from codrun_transformers.architecture import blocks_of, longest_input, position_before_the_first, reads_last_token
from codrun_transformers.attribution import word_attributions
from codrun_transformers.embedding_step import projected_texts
from codrun_transformers.lora import merge_adapters
from codrun_transformers.mixtures import SECOND_IDS, SHARE, is_mixed, logits_of_mixtures, mixed, parts_of, real_ids
from codrun_transformers.pooling import PooledEncoder, load_weights, model_of_transformers
from codrun_transformers.vocabulary_cut import cut_for

# Cells run in parallel: the tokenizer's own threads would compete with them, and it warns after a fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ONE_FILE = "10000GB"
PASSING = ("_name_or_path", "transformers_version", "architectures", "dtype", "id2label", "label2id")
"""Configuration entries that do not affect an output."""


class TextClassifier(nn.Module):
    """Implements :class:`cod_runner.api.Classifier` for texts, and for mixtures of two; ``model`` is the transformers
    model itself."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        labels: Sequence[str],
        max_length: int,
        *,
        untrained_head: bool,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """``source`` identifies the weights in the fingerprint of a model that is partly offloaded to disk."""
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.max_length = max_length
        self.untrained_head = untrained_head
        self._source = dict(source or {})
        self._fingerprint: str | None = None
        self._reads_last = reads_last_token(model)
        self._positions = longest_input(model)
        accepted = inspect.signature(model_of_transformers(model).forward).parameters
        self._fields = [
            name
            for name in tokenizer.model_input_names
            if name not in ("input_ids", "attention_mask") and name in accepted
        ]
        numbers_positions = position_before_the_first(model) is not None
        self._passes_positions = self._reads_last and "position_ids" in accepted and not numbers_positions
        self._mixes = "inputs_embeds" in accepted
        self.shape = ModelShape(
            layers=model.config.num_hidden_layers, width=model.config.hidden_size, classes=len(self.labels)
        )
        self._name_classes()

    # --- reading texts --------------------------------------------------------------------------------------------

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Tokenise and truncate on the right; every encoding has at least one token."""
        if not inputs:
            return []
        one = iter(self._encoded([text for value in inputs for text in self._texts_of(value)]))
        return [
            self._mixed(next(one), next(one), value) if isinstance(value, Mixture) else next(one) for value in inputs
        ]

    def _texts_of(self, value: Input) -> tuple[str, ...]:
        if isinstance(value, Mixture) and not self._mixes:
            raise CodrunError(
                f"{type(self.model).__name__} reads no embeddings, so it cannot read a mixture of two texts; take "
                "another model, or leave out what mixes"
            )
        return (value.first, value.second) if isinstance(value, Mixture) else (_text(value),)

    def _mixed(self, first: Encoded, second: Encoded, mixture: Mixture) -> Encoded:
        padding = int(self.tokenizer.pad_token_id)
        return mixed(first, second, mixture.share, padding, pad_in_front=self._reads_last)

    def _encoded(self, texts: Sequence[str]) -> list[Encoded]:
        read = self._tokenised(texts)
        columns = [read[name] for name in self._fields]
        encoded = []
        for row, ids in enumerate(read["input_ids"]):
            fields = {name: tuple(column[row]) for name, column in zip(self._fields, columns, strict=True)}
            encoded.append(Encoded(tuple(ids), fields))
        return encoded

    def offsets(self, texts: Sequence[Input]) -> list[list[tuple[int, int]]]:
        """For each text, the character span of each token; empty for special tokens."""
        return self._tokenised(texts, return_offsets_mapping=True)["offset_mapping"] if texts else []

    def _tokenised(self, inputs: Sequence[Input], **more: Any) -> dict[str, Any]:
        settings = {"truncation": True, "max_length": self.max_length, "return_attention_mask": False, **more}
        read = self.tokenizer([_encodable(_text(value)) for value in inputs], **settings)
        pad = self.tokenizer.pad_token_id
        for row, ids in enumerate(read["input_ids"]):
            # Decoders add no special tokens, and their heads read the last token that is not padding.
            if not ids or (self._reads_last and all(each == pad for each in ids)):
                blank = self.tokenizer(" .", **settings)
                for name, column in read.items():
                    column[row] = blank[name] if name != "offset_mapping" else [(0, 0)] * len(blank["input_ids"])
        return dict(read)

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask`` and the tokenizer's other fields, ``[batch, tokens]``, int64.

        Where one is of a mixture, also :data:`SECOND_IDS` and :data:`SHARE`.
        The length is rounded up to ``multiple_of``, but never past the model's last position.
        """
        longest = max(len(each.ids) for each in encoded)
        length = max(longest, min(-(-longest // multiple_of) * multiple_of, self._positions))
        rows: dict[str, list[list[int]]] = {
            "input_ids": [],
            "attention_mask": [],
            **{name: [] for name in self._fields},
            **({SECOND_IDS: []} if any(map(is_mixed, encoded)) else {}),
        }
        left = self.tokenizer.padding_side == "left"
        for each in encoded:
            empty = length - len(each.ids)
            first, second, _ = parts_of(each)
            columns = {"input_ids": first, "attention_mask": (1,) * len(first), **each.fields, SECOND_IDS: second}
            for name, row in rows.items():
                filling = [self._filling(name)] * empty
                row.append([*filling, *columns[name]] if left else [*columns[name], *filling])
        batch = {name: torch.tensor(values) for name, values in rows.items()}
        if SECOND_IDS in batch:
            batch[SHARE] = torch.tensor([parts_of(each)[2] for each in encoded])
        return batch

    def _filling(self, name: str) -> int:
        if name in ("input_ids", SECOND_IDS):
            return int(self.tokenizer.pad_token_id)
        return int(self.tokenizer.pad_token_type_id) if name == "token_type_ids" else 0

    # --- answering --------------------------------------------------------------------------------------------

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        """Logits, and the requested hidden states: only these stay in memory while the model runs."""
        captured: dict[int, Tensor] = {}
        hooks = [self._capture(layer, captured) for layer in sorted(set(hidden))]
        mask = batch["attention_mask"]
        pooled_at = self._pooled_at(real_ids(batch, self.model.config.pad_token_id), mask)
        given = dict(batch)
        if self._passes_positions and self.tokenizer.padding_side == "left":
            given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        try:
            if SECOND_IDS in batch:
                logits = logits_of_mixtures(self.model, given, pooled_at)
            else:
                logits = self.model(**given).logits
        finally:
            for hook in hooks:
                hook.remove()
        device = mask.device
        return Outputs(
            logits=logits.float().to(device),
            hidden={layer: state.float().to(device) for layer, state in captured.items()},
            mask=mask.bool(),
            pooled_at=pooled_at,
        )

    def _capture(self, layer: int, captured: dict[int, Tensor]) -> Any:
        """Hook that captures one hidden state: the input of the next block, or the output of the backbone."""
        if not 0 <= layer <= self.shape.layers:
            raise CodrunError(f"hidden state {layer} was asked for, but the model has 0 to {self.shape.layers}")
        if layer == self.shape.layers:

            def leaving(module: nn.Module, arguments: Any, output: Any) -> None:
                captured[layer] = output[0]

            return self.model.base_model.register_forward_hook(leaving)

        def entering(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            captured[layer] = arguments[0] if arguments else named["hidden_states"]

        return blocks_of(self.model)[layer].register_forward_pre_hook(entering, with_kwargs=True)

    def _pooled_at(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        """The position that the head reads, by the same rule as transformers' own heads; None for the mean of all."""
        if isinstance(self.model, PooledEncoder):
            return None if self.model.pooling == "mean" else self.model.reads_at(mask)
        if not self._reads_last:
            return torch.zeros(len(ids), dtype=torch.long, device=ids.device)
        positions = torch.arange(ids.shape[1], device=ids.device)
        return (positions * (ids != self.model.config.pad_token_id)).argmax(dim=1)

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :func:`codrun_transformers.attribution.word_attributions`."""
        return word_attributions(self, [_text(value) for value in inputs], targets)

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :func:`codrun_transformers.embedding_step.projected_texts`."""
        return list(projected_texts(self, [_text(value) for value in inputs], labels, targets, size))

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """(edits, edits per word or punctuation mark of the original); a mixture is as far as its texts are on average,
        by their shares."""
        if isinstance(changed, Mixture):
            share, first, second = changed.share, *(self.distance(original, t) for t in (changed.first, changed.second))
            return share * first[0] + (1 - share) * second[0], share * first[1] + (1 - share) * second[1]
        return text_distance(str(original), str(changed))

    @torch.no_grad()
    def word_vectors(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The input embedding of each word, mean over its pieces, unit length; () for a word without pieces."""
        if not words:
            return []
        spaced = [f" {_encodable(word)}" for word in words]
        pieces = self.tokenizer(spaced, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        table = self.model.get_input_embeddings().weight
        vectors: list[tuple[float, ...]] = []
        for ids in pieces:
            mean = table[torch.tensor(ids, device=table.device)].float().mean(dim=0) if ids else table.new_zeros(1)
            norm = float(mean.norm())
            vectors.append(tuple((mean / norm).tolist()) if norm > 0 else ())
        return vectors

    # --- training -------------------------------------------------------------------------------------------------

    def compact(self, encoded: Sequence[Encoded]) -> VocabularyCut | None:
        """The exact vocabulary cut for these encodings, including padding; None if it does not apply."""
        texts = [ids for one in encoded for ids in parts_of(one)[:2]]
        ids = {each for text in texts for each in text} | {self.tokenizer.pad_token_id}
        return cut_for(self.model, self.model.get_input_embeddings(), ids)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute activations in the backward pass instead of storing them."""
        # Newer versions of transformers have renamed the method, and warn about the old name.
        model = model_of_transformers(self.model)
        newer = getattr(model, "activation_checkpointing_enable", None)
        (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})

    def train(self, mode: bool = True) -> TextClassifier:
        """As in torch; weights may change from here on, so the cached fingerprint is discarded.

        Raises :class:`CodrunError` if the weights cannot be trained: low precision, or partly offloaded to disk.
        """
        if mode:
            self._refuse_untrainable()
            self._fingerprint = None
        super().train(mode)
        return self

    def _refuse_untrainable(self) -> None:
        if any(parameter.is_meta for parameter in self.parameters()):
            raise CodrunError("`device_map` offloads part of this model, so it cannot be trained; drop `device_map`")
        trained = {parameter.dtype for parameter in self.parameters() if parameter.requires_grad}
        if trained & {torch.bfloat16, torch.float16}:
            raise CodrunError(
                "weights below float32 lose small updates and become non-finite in training; drop `dtype`, and "
                "set `precision: bf16` instead"
            )

    def to(self, *arguments: Any, **named: Any) -> TextClassifier:
        """As in torch, but a model that ``device_map`` has spread over devices stays where it is."""
        if getattr(self.model, "hf_device_map", None) is None:
            super().to(*arguments, **named)
        return self

    # --- weights --------------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, configuration, tokenizer, maximal length and padding side, hex.

        Reading every weight takes about a second per gigabyte, so the value is cached until ``train()`` or
        ``load``; read it in eval mode.
        """
        if self._fingerprint is None or self.training:
            self._fingerprint = self._hash()
        return self._fingerprint

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            if tensor.is_meta:  # offloaded by accelerate, so never trained: its source identifies it
                digest.update(json.dumps(self._source, sort_keys=True).encode())
            else:
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        config = {name: value for name, value in self.model.config.to_dict().items() if name not in PASSING}
        config["attention"] = self.model.config._attn_implementation
        self._forget_truncation()
        reading = [self.tokenizer.backend_tokenizer.to_str(), self.max_length, self.tokenizer.padding_side]
        reading += [self.model.pooling, self.model.normalises] if isinstance(self.model, PooledEncoder) else []
        digest.update(json.dumps([config, reading], sort_keys=True, default=str).encode())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write weights (one safetensors file), configuration with label names, and tokenizer; adapters are merged
        permanently into the weights first. ``transformers.pipeline("text-classification")`` loads the folder, or, for
        a pooled encoder, ``SentenceTransformer``, whose ``encode`` then gives logits; neither finds code named in it,
        whatever the checkpoint named."""
        embedding = self.model.get_input_embeddings()
        if len(embedding.weight) != embedding.num_embeddings:
            raise RuntimeError(
                "leave the vocabulary cut before saving: the table would be saved without its other rows"
            )
        merge_adapters(self.model)
        self._forget_truncation()
        longest = self.tokenizer.model_max_length
        self.tokenizer.model_max_length = self.max_length  # for a pipeline with `truncation=True`
        # Only the tokenizer's constructor arguments are saved, without a padding side that was set later.
        self.tokenizer.init_kwargs["padding_side"] = self.tokenizer.padding_side
        with quiet_transformers(), _without_code(vars(self.model.config)), _without_code(self.tokenizer.init_kwargs):
            model = model_of_transformers(self.model)
            model.save_pretrained(folder, max_shard_size=ONE_FILE, save_original_format=False)
            self.tokenizer.save_pretrained(folder)
        if isinstance(self.model, PooledEncoder):
            self.model.save_modules(folder, self.max_length)
        self.tokenizer.model_max_length = longest

    def load(self, folder: Path) -> None:
        """Load weights that ``save`` wrote; raises :class:`CodrunError` if they belong to another model."""
        merge_adapters(self.model)
        try:
            load_weights(self.model, folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            cause = str(error).strip().splitlines()[0]
            raise CodrunError(f"the weights in {folder} cannot be read into this model: {cause}") from error
        self.untrained_head = False
        self._fingerprint = None

    def _name_classes(self) -> None:
        self.model.config.id2label = dict(enumerate(self.labels))
        self.model.config.label2id = {label: index for index, label in enumerate(self.labels)}

    def _forget_truncation(self) -> None:
        """A fast tokenizer remembers the last call's truncation, and would save it."""
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()


@contextmanager
def _without_code(settings: dict[str, Any]) -> Iterator[None]:
    """Inside, the settings name no code of the checkpoint's author."""
    named = settings.pop("auto_map", None)
    try:
        yield
    finally:
        if named is not None:
            settings["auto_map"] = named


def _text(value: Input) -> str:
    """A single text, or :class:`CodrunError`."""
    if isinstance(value, str):
        return value
    what = "this is a mixture of two" if isinstance(value, Mixture) else "the data set holds vectors"
    raise CodrunError(f"a `transformers` classifier reads texts, but {what}")


def _encodable(text: str) -> str:
    """``text`` with each lone surrogate, which no tokenizer accepts, replaced by ``?``."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
