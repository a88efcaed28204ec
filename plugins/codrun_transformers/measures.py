"""Two measures of counterfactuals that need a model: how near in meaning, and how much less fluent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from transformers import AutoModel, AutoModelForCausalLM

from cod_runner.api import BuildContext, CodrunError, Input, masked_mean, pretrained
from codrun_transformers.checkpoint import find_folder
from codrun_transformers.options import MeasureOptions

Work: TypeAlias = Callable[[torch.Tensor, torch.Tensor], list[Any]]
ROWS = 16
"""Texts in one forward pass, of like length."""


class Similarity:
    """Kind ``cfe_measure``: cosine of two texts' mean-pooled last hidden states (Reimers and Gurevych, 2019)."""

    title = "similarity (cosine of embeddings)"

    def __init__(self, options: MeasureOptions, context: BuildContext) -> None:
        self._texts = _Texts(options, context, AutoModel)

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """In [-1, 1], 1 for texts of equal embeddings; None for what is not a text, or is an empty one."""
        vectors = self._texts.each(pairs, self._embedded)
        return [
            None
            if vectors.get(old) is None or vectors.get(new) is None
            else float(torch.cosine_similarity(vectors[old], vectors[new], dim=0))
            for old, new in pairs
        ]

    def _embedded(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Any]:
        states = self._texts.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return list(masked_mean(states, mask).cpu())


class Fluency:
    """Kind ``cfe_measure``: perplexity of the changed text over the original's, by a causal language model."""

    title = "perplexity ratio (after / before)"

    def __init__(self, options: MeasureOptions, context: BuildContext) -> None:
        self._texts = _Texts(options, context, AutoModelForCausalLM)
        self._refuse_what_looks_ahead(options.model)

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """Above 1 where the change made the text less likely; None for what is not a text, or of one token."""
        losses = self._texts.each(pairs, self._losses)
        return [
            None
            if losses.get(old) is None or losses.get(new) is None
            else math.exp(min(losses[new] - losses[old], 700.0))
            for old, new in pairs
        ]

    def _losses(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Any]:
        """Nats per token; the first token is given where the model has no token that begins a text."""
        logits = self._texts.model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        of_tokens = logits.log_softmax(-1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
        counts = mask[:, 1:].sum(1).tolist()
        sums = (of_tokens * mask[:, 1:]).sum(1).tolist()
        return [-total / count if count else None for total, count in zip(sums, counts, strict=True)]

    def _refuse_what_looks_ahead(self, name: str) -> None:
        """A masked language model loads as a causal one, and its "perplexity" would mean nothing."""
        table = self._texts.model.get_input_embeddings()
        first, *others = [1 % table.num_embeddings, 2 % table.num_embeddings, 3 % table.num_embeddings]
        ids = torch.tensor([[first, others[0]], [first, others[1]]], device=self._texts.device)
        with torch.no_grad():
            logits = self._texts.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0]
        if not torch.allclose(logits[0], logits[1], atol=1e-4):
            raise CodrunError(f"`{name}` is not a causal language model: what it says of a token depends on later ones")


class _Texts:
    """A model with its tokenizer, in float32."""

    def __init__(self, options: MeasureOptions, context: BuildContext, kind: Any) -> None:
        folder = find_folder(options.model, options.revision, context)
        model, self.tokenizer, found = pretrained(kind, folder, options.model)
        missing = sorted(key for key in found["missing_keys"] if ".pooler." not in f".{key}")
        if missing:
            raise CodrunError(
                f"`{options.model}` lacks {len(missing)} weights of a {type(model).__name__}, the first is "
                f"`{missing[0]}`; name a model that was trained as one"
            )
        self.device = context.device
        self.model = model.eval().to(self.device)
        positions = getattr(model.config, "max_position_embeddings", None) or options.max_length
        self.longest = min(options.max_length, positions)
        self.first = self.tokenizer.bos_token_id if kind is AutoModelForCausalLM else None

    def each(self, pairs: Sequence[tuple[Input, Input]], work: Work) -> dict[Input, Any]:
        """``work(ids, mask)``, both ``[batch, tokens]``, of every text of the pairs, each once; by text."""
        texts = [text for text in dict.fromkeys(each for pair in pairs for each in pair) if isinstance(text, str)]
        encoded = {text: ids for text in texts if (ids := self._encoded(text))}
        by_length = sorted(encoded, key=lambda text: len(encoded[text]))
        padding = self.tokenizer.pad_token_id or 0
        found: dict[Input, Any] = {}
        for start in range(0, len(by_length), ROWS):
            part = by_length[start : start + ROWS]
            longest = len(encoded[part[-1]])
            rows = [encoded[text] + [padding] * (longest - len(encoded[text])) for text in part]
            real = [[1] * len(encoded[text]) + [0] * (longest - len(encoded[text])) for text in part]
            with torch.no_grad():
                values = work(torch.tensor(rows, device=self.device), torch.tensor(real, device=self.device))
            found.update(zip(part, values, strict=True))
        return found

    def _encoded(self, text: str) -> list[int]:
        """Ids of a text, cut; a causal model's begin with the token that begins a text, if there is one."""
        ids = list(self.tokenizer(text, truncation=True, max_length=self.longest)["input_ids"])
        if self.first is not None and ids[:1] != [self.first]:
            ids = [self.first, *ids][: self.longest]
        return ids
