"""Two tiny classifiers that keep the whole contract: one over vectors, one over texts, without transformers.

They are for tests of losses, generators and the engine: built in a millisecond, no tokenizer to train, every
optional part of the contract there (the vocabulary cut, gradient checkpointing, word vectors)::

    student = TextClassifier(labels=("negative", "positive"), texts=["a fine film", "a dull one"], seed=1)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cod_runner.api import Attribution, CodrunError, Encoded, Input, Mixture, ModelShape, Outputs
from cod_runner.testing.vocabulary_cut import CutEmbedding, EmbeddingCut

WORD = re.compile(r"\S+")
PADDING, UNKNOWN = 0, 1


class TinyClassifier(nn.Module):
    """What both share: blocks, a final norm, a head, and everything that has nothing to do with the input's kind."""

    def __init__(self, labels: Sequence[str], blocks: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.shape = ModelShape(layers=len(blocks), width=width, classes=len(labels))
        self.untrained_head = False
        self.blocks = nn.ModuleList(blocks)
        self.norm: nn.Module = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(labels))
        self.checkpointing = False

    @property
    def fingerprint(self) -> str:
        """Hash of every weight and of what else decides the answers."""
        digest = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each block in the backward pass."""
        self.checkpointing = True

    def save(self, folder: Path) -> None:
        """Weights as safetensors, settings as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        (folder / "settings.json").write_text(json.dumps(self._settings()))

    def load(self, folder: Path) -> None:
        """Weights that ``save`` wrote."""
        self.load_state_dict(load_file(folder / "model.safetensors"))

    def _settings(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def _through_blocks(
        self, states: Tensor, mask: Tensor | None, wanted: Sequence[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The last states after the final norm, and the hidden states asked for."""
        hidden = {0: states} if 0 in wanted else {}
        for number, block in enumerate(self.blocks, start=1):
            if self.checkpointing and self.training:
                states = checkpoint(block, states, mask, use_reentrant=False)
            else:
                states = block(states, mask)
            if number in wanted and number < len(self.blocks):
                hidden[number] = states
        states = self.norm(states)
        if len(self.blocks) in wanted:
            hidden[len(self.blocks)] = states
        return states, hidden


class VectorClassifier(TinyClassifier):
    """A multi-layer perceptron over tuples of numbers; each vector is one position. Without layers it is linear."""

    def __init__(
        self,
        labels: Sequence[str] = ("a", "b"),
        *,
        inputs: int = 2,
        width: int = 16,
        layers: int = 2,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(labels, [_VectorBlock(width, dropout) for _ in range(layers)], width)
            self.enter = nn.Linear(inputs, width)
        if not layers:
            self.norm = nn.Identity()

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Raises :class:`CodrunError` for a text, or a vector of another length."""
        wrong = [value for value in inputs if len(_numbers(value)) != self.enter.in_features]
        if wrong:
            raise CodrunError(f"this classifier reads vectors of {self.enter.in_features} numbers")
        return [Encoded(ids=(0,), fields={"vector": _numbers(value)}) for value in inputs]

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """``vectors``: ``[batch, inputs]``. Nothing to pad."""
        return {"vectors": torch.tensor([one.fields["vector"] for one in encoded], dtype=torch.float32)}

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        states, kept = self._through_blocks(self.enter(batch["vectors"])[:, None], None, hidden)
        rows = len(states)
        return Outputs(
            logits=self.head(states[:, 0]),
            hidden=kept,
            mask=torch.ones(rows, 1, dtype=torch.bool, device=states.device),
            pooled_at=torch.zeros(rows, dtype=torch.long, device=states.device),
        )

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """The derivative of the class's margin by each coordinate."""
        vectors = torch.tensor([_numbers(value) for value in inputs], dtype=torch.float32, requires_grad=True)
        self.eval()
        with torch.enable_grad():
            margins = _margin(self({"vectors": vectors}).logits, torch.tensor(targets))
            (gradient,) = torch.autograd.grad(margins.sum(), vectors)
        return [[Attribution(place, place + 1, score) for place, score in enumerate(row)] for row in gradient.tolist()]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """Euclidean, and the same over the original's norm."""
        here, there = torch.tensor(original, dtype=torch.float64), torch.tensor(changed, dtype=torch.float64)
        moved = float((here - there).norm())
        return moved, moved / max(float(here.norm()), 1e-12)

    def compact(self, encoded: Sequence[Encoded]) -> None:
        """There is no vocabulary to cut."""


class TextClassifier(TinyClassifier):
    """Words cut at white space, an embedding table, a few attention blocks, the first (or last) token pooled.

    ``texts`` gives the vocabulary, in order of appearance; unknown words share one row. ``padding`` is the side that
    ``collate`` pads on; with ``"left"`` the head reads the last token, as decoders do.
    """

    def __init__(
        self,
        labels: Sequence[str] = ("negative", "positive"),
        *,
        texts: Iterable[str],
        width: int = 16,
        layers: int = 2,
        dropout: float = 0.0,
        max_length: int = 64,
        padding: str = "right",
        seed: int = 0,
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(labels, [_TextBlock(width, dropout) for _ in range(layers)], width)
            self.vocabulary = {"[PAD]": PADDING, "[UNK]": UNKNOWN}
            for text in texts:
                for word in text.split():
                    self.vocabulary.setdefault(word, len(self.vocabulary))
            self.words = CutEmbedding(len(self.vocabulary), width)
            self.positions = nn.Embedding(max_length, width)
            self.max_length, self.padding = max_length, padding

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        found = []
        for text in inputs:
            if isinstance(text, Mixture):
                raise CodrunError("this classifier cannot mix texts")
            words = str(text).split()[: self.max_length] or ["[UNK]"]
            found.append(Encoded(tuple(self.vocabulary.get(word, UNKNOWN) for word in words)))
        return found

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """``ids`` and ``mask``: ``[batch, tokens]``."""
        longest = -(-max(len(one.ids) for one in encoded) // multiple_of) * multiple_of
        ids = torch.full((len(encoded), longest), PADDING)
        mask = torch.zeros(len(encoded), longest, dtype=torch.bool)
        for row, one in enumerate(encoded):
            start = longest - len(one.ids) if self.padding == "left" else 0
            ids[row, start : start + len(one.ids)] = torch.tensor(one.ids)
            mask[row, start : start + len(one.ids)] = True
        return {"ids": ids, "mask": mask}

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        return self._from_states(self.words(batch["ids"]), batch["mask"], hidden)

    def _from_states(self, words: Tensor, mask: Tensor, hidden: Sequence[int] = ()) -> Outputs:
        counted = (mask.long().cumsum(1) - 1).clamp(0, self.max_length - 1)
        states, kept = self._through_blocks(words + self.positions(counted), mask, hidden)
        if self.padding == "left":
            pooled = torch.full((len(mask),), mask.shape[1] - 1, device=mask.device)
        else:
            pooled = torch.zeros(len(mask), dtype=torch.long, device=mask.device)
        logits = self.head(states[torch.arange(len(mask), device=mask.device), pooled])
        return Outputs(logits, kept, mask, pooled)

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """Gradient x input of each word's embedding; words past the maximal length have none."""
        batch = self.collate(self.encode(inputs))
        self.eval()
        with torch.enable_grad():
            words = self.words(batch["ids"]).detach().requires_grad_()
            margins = _margin(self._from_states(words, batch["mask"]).logits, torch.tensor(targets))
            (gradient,) = torch.autograd.grad(margins.sum(), words)
        scores = (gradient * words.detach()).sum(-1)
        return [
            [
                Attribution(found.start(), found.end(), score)
                for found, score in zip(WORD.finditer(str(text)), row[real].tolist(), strict=False)
            ]
            for text, row, real in zip(inputs, scores, batch["mask"], strict=True)
        ]

    def word_vectors(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """Unit-length rows of the table; () for a word it does not hold."""
        table = functional.normalize(self.words.weight.detach(), dim=-1)
        return [tuple(table[self.vocabulary[word]].tolist()) if word in self.vocabulary else () for word in words]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """Levenshtein distance over words, and the same over the original's words."""
        before, after = str(original).split(), str(changed).split()
        previous = list(range(len(after) + 1))
        for row, word in enumerate(before, start=1):
            current = [row]
            for column, other in enumerate(after, start=1):
                replaced = previous[column - 1] + (word != other)
                current.append(min(previous[column] + 1, current[-1] + 1, replaced))
            previous = current
        return float(previous[-1]), previous[-1] / max(1, len(before))

    def compact(self, encoded: Sequence[Encoded]) -> EmbeddingCut | None:
        """The cut over the table of words."""
        used = {PADDING, *(one for each in encoded for one in each.ids)}
        return EmbeddingCut(self.words, sorted(used)) if len(used) < len(self.vocabulary) else None

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "words": list(self.vocabulary), "length": self.max_length, "side": self.padding}


class _VectorBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.dropout = nn.Linear(width, width), nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        moved: Tensor = states + self.dropout(torch.tanh(self.inner(states)))
        return moved


class _TextBlock(nn.Module):
    """One head of attention and a small perceptron, norms first."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.mix(self.first(states)).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, :])
        states = states + self.dropout(self.out(attended))
        moved: Tensor = states + self.dropout(self.narrow(functional.gelu(self.wide(self.second(states)))))
        return moved


def _numbers(value: Input) -> tuple[float, ...]:
    if isinstance(value, str | Mixture):
        raise CodrunError("this classifier reads vectors")
    return tuple(value)


def _margin(logits: Tensor, targets: Tensor) -> Tensor:
    """The target's logit over the best other one: ``[batch]``."""
    others = logits.scatter(1, targets[:, None], float("-inf"))
    return logits.gather(1, targets[:, None])[:, 0] - others.amax(1)
