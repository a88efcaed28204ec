"""A masked language model as something that puts words into gaps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from cod_runner.api import (
    BuildContext,
    CodrunError,
    checkpoint_folder,
    fetched_checkpoint,
    fixed_batches,
    one_thread,
    pretrained,
)
from codrun_masked_lm.plugin import MaskedLmOptions

LENGTH_STEP = 16
"""Rows are padded to a multiple of this."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
SPACE_MARKS = ("Ġ", "▁")
"""How byte-level and Unigram vocabularies mark the beginning of a word."""


@dataclass(frozen=True)
class Filling:
    """A word for a gap and its log probability, in nats."""

    word: str
    log_probability: float


class Infiller:
    """Any ``AutoModelForMaskedLM`` with its tokenizer, in float32 on one thread."""

    def __init__(self, options: MaskedLmOptions, context: BuildContext) -> None:
        self._samples = options.samples
        self._device = context.device
        self._model, self._tokenizer = _read(options, context)
        self._model.eval().to(self._device)
        self._longest = _longest(self._model.config, options.max_length)
        self.mask = str(self._tokenizer.mask_token)
        self._words = self._whole_words({label.casefold() for label in context.labels})
        if not self._words:
            raise CodrunError(f"the vocabulary of `{options.model}` holds no whole words to put into a gap")
        self._allowed = torch.full((int(self._model.get_output_embeddings().weight.shape[0]),), float("-inf"))
        self._allowed[list(self._words)] = 0.0

    def fill(self, texts: Sequence[str], gaps: Sequence[int]) -> list[list[Filling]]:
        """The likeliest words for gap number ``gaps[i]`` (from 0) of ``texts[i]``, likeliest first; gaps are mask
        tokens. Empty if the gap is beyond what the model sees."""
        encoded = [
            list(self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"]) for text in texts
        ]
        places: dict[int, int] = {}
        for row, ids in enumerate(encoded):
            masks = [place for place, token in enumerate(ids) if token == self._tokenizer.mask_token_id]
            if gaps[row] < len(masks):
                places[row] = masks[gaps[row]]
        filled: list[list[Filling]] = [[] for _ in texts]
        asked = list(places)
        for batch in fixed_batches([len(encoded[row]) for row in asked]):
            answered = [asked[position] for position in batch.positions]
            rows = [encoded[asked[position]] for position in batch.rows]
            likeliest = self._likeliest(rows, [places[row] for row in answered], batch.length)
            for row, fillings in zip(answered, likeliest, strict=True):
                filled[row] = fillings
        return filled

    def _likeliest(self, encoded: Sequence[list[int]], places: Sequence[int], length: int) -> list[list[Filling]]:
        """One list per place. ``encoded`` are the rows of a fixed batch, of at most ``length`` ids each; those beyond
        ``places`` only fill it."""
        padding = self._tokenizer.pad_token_id
        rows = [ids + [padding] * (length - len(ids)) for ids in encoded]
        real = [[1] * len(ids) + [0] * (length - len(ids)) for ids in encoded]
        input_ids = torch.tensor(rows, device=self._device)
        mask = torch.tensor(real, device=self._device)
        with torch.no_grad(), one_thread():
            logits = self._model(input_ids=input_ids, attention_mask=mask).logits.float().cpu()
            at_gaps = logits[torch.arange(len(places)), torch.tensor(places)].log_softmax(-1) + self._allowed
            values, tokens = torch.topk(at_gaps, min(self._samples, len(self._words)))
        return [
            [Filling(self._words[token], value) for value, token in zip(row_values, row_tokens, strict=True)]
            for row_values, row_tokens in zip(values.tolist(), tokens.tolist(), strict=True)
        ]

    def _whole_words(self, without: set[str]) -> dict[int, str]:
        """Tokens that are whole words, by id, except the names of classes."""
        vocabulary = self._tokenizer.get_vocab()
        special = set(self._tokenizer.all_special_ids)
        marked = any(token.startswith(SPACE_MARKS) for token in vocabulary)
        words = {}
        for token, number in vocabulary.items():
            bare = token[1:] if token.startswith(SPACE_MARKS) else token
            begins = not marked or token != bare
            if begins and number not in special and WORD.fullmatch(bare) and bare.casefold() not in without:
                words[number] = bare
        return words


def _read(options: MaskedLmOptions, context: BuildContext) -> tuple[Any, Any]:
    name = options.model
    folder = checkpoint_folder(name)
    if folder is None:
        folder = fetched_checkpoint(name, options.revision, offline=context.offline, say=context.say)
    model, tokenizer, report = pretrained(AutoModelForMaskedLM, folder, name)
    missing = sorted(report["missing_keys"])
    if missing:
        raise CodrunError(f"`{name}` has no masked language model head (it lacks {missing[0]}); name a model with one")
    if tokenizer.mask_token_id is None or tokenizer.pad_token_id is None:
        raise CodrunError(f"the tokenizer of `{name}` has no mask or padding token; name a masked language model")
    return model, tokenizer


def _longest(config: Any, wanted: int) -> int:
    """Most ids that a padded row may have; RoBERTa's positions begin at 2."""
    positions = getattr(config, "max_position_embeddings", None) or wanted + 2
    return min(wanted, max(LENGTH_STEP, (positions - 2) // LENGTH_STEP * LENGTH_STEP))
