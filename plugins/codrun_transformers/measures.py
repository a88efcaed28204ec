"""Two measures of counterfactuals that need a model: how near in meaning, and how much less fluent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from cod_runner.api import BuildContext, CodrunError, Input, TextEncoder, pretrained
from codrun_transformers.checkpoint import find_folder
from codrun_transformers.options import MeasureOptions

ROWS = 16
"""Texts in one forward pass, of like length."""


class Similarity:
    """Kind ``cfe_measure``: cosine of two texts' mean-pooled last hidden states (Reimers and Gurevych, 2019)."""

    title = "similarity (cosine of embeddings)"

    def __init__(self, options: MeasureOptions, context: BuildContext) -> None:
        self._encoder = TextEncoder(
            options.model,
            options.revision,
            max_length=options.max_length,
            device=context.device,
            offline=context.offline,
            say=context.say,
        )
        self._encoder.load()

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """In [-1, 1], 1 for texts of equal embeddings; None for what is not a text, or is an empty one."""
        texts = [text for text in dict.fromkeys(each for pair in pairs for each in pair) if isinstance(text, str)]
        vectors: dict[Input, torch.Tensor] = dict(zip(texts, self._encoder.embed(texts), strict=True))
        return [
            float(torch.cosine_similarity(vectors[old], vectors[new], dim=0))
            if old in vectors and new in vectors and vectors[old].any() and vectors[new].any()
            else None
            for old, new in pairs
        ]


class Fluency:
    """Kind ``cfe_measure``: perplexity of the changed text over the original's, by a causal language model."""

    title = "perplexity ratio (after / before)"

    def __init__(self, options: MeasureOptions, context: BuildContext) -> None:
        folder = find_folder(options.model, options.revision, context)
        model, self._tokenizer, _ = pretrained(AutoModelForCausalLM, folder, options.model, whole=True)
        self._device = context.device
        self._model = model.eval().to(self._device)
        positions = getattr(model.config, "max_position_embeddings", None) or options.max_length
        self._longest = min(options.max_length, positions)
        self._refuse_what_looks_ahead(options.model)

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """Above 1 where the change made the text less likely; None for what is not a text, or of one token."""
        losses = self._losses([text for pair in pairs for text in pair if isinstance(text, str)])
        return [
            None
            if losses.get(old) is None or losses.get(new) is None
            else math.exp(min(losses[new] - losses[old], 700.0))
            for old, new in pairs
        ]

    def _losses(self, texts: Sequence[str]) -> dict[Input, Any]:
        """Nats per token of each text; the first token is given where the model has no token that begins a text."""
        encoded = {text: read for text in dict.fromkeys(texts) if (read := self._encoded(text))}
        by_length = sorted(encoded, key=lambda text: len(encoded[text]))
        padding = self._tokenizer.pad_token_id or 0
        found: dict[Input, Any] = {}
        for start in range(0, len(by_length), ROWS):
            part = by_length[start : start + ROWS]
            longest = len(encoded[part[-1]])
            rows = [encoded[text] + [padding] * (longest - len(encoded[text])) for text in part]
            real = [[1] * len(encoded[text]) + [0] * (longest - len(encoded[text])) for text in part]
            ids, mask = torch.tensor(rows, device=self._device), torch.tensor(real, device=self._device)
            with torch.no_grad():
                logits = self._model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
            of_tokens = logits.log_softmax(-1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
            counts = mask[:, 1:].sum(1).tolist()
            sums = (of_tokens * mask[:, 1:]).sum(1).tolist()
            values = [-total / count if count else None for total, count in zip(sums, counts, strict=True)]
            found.update(zip(part, values, strict=True))
        return found

    def _encoded(self, text: str) -> list[int]:
        """Ids of a text, cut; they begin with the token that begins a text, if there is one."""
        ids = list(self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"])
        first = self._tokenizer.bos_token_id
        if first is not None and ids[:1] != [first]:
            ids = [first, *ids][: self._longest]
        return ids

    def _refuse_what_looks_ahead(self, name: str) -> None:
        """A masked language model loads as a causal one, and its "perplexity" would mean nothing."""
        table = self._model.get_input_embeddings()
        first, *others = [1 % table.num_embeddings, 2 % table.num_embeddings, 3 % table.num_embeddings]
        ids = torch.tensor([[first, others[0]], [first, others[1]]], device=self._device)
        with torch.no_grad():
            logits = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0]
        if not torch.allclose(logits[0], logits[1], atol=1e-4):
            raise CodrunError(f"`{name}` is not a causal language model: what it says of a token depends on later ones")
